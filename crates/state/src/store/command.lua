-- Runs one command on one key. Returns whether it was applied (1 or 0), and the old
-- value where the command returns it.
--
-- ARGV: the command, the expected value, the new value, its lifetime (ms). A value
-- starts with a 16-byte nonce, by which a repeated claim recognizes itself after
-- its reply was lost.
local key, command, expected, value, ttl = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if command == 'try' then
  redis.call('SET', key, value, 'PX', ttl)
  redis.call('DEL', key)
end
local stored = redis.call('GET', key)
local old = stored and string.sub(stored, 17)
if command == 'get' or command == 'try' then
  return {0, old}
elseif command == 'take' then
  if stored then
    redis.call('DEL', key)
    return {1, old}
  end
  return {0, false}
elseif command == 'remove' then
  if old == expected then
    redis.call('DEL', key)
    return {1, false}
  end
  return {0, false}
elseif command == 'claim' and stored then
  if stored == value then
    return {1, false}
  end
  return {0, old}
elseif command == 'replace' and old ~= expected then
  return {0, false}
end
redis.call('SET', key, value, 'PX', ttl)
return {1, false}
