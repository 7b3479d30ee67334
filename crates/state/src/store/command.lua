-- Does one thing with one key; gives back whether it was done (1 or 0), and what
-- was there where that is told.
--
-- ARGV: what to do, the value that is expected, the new value, how long it lasts
-- (ms). A value begins with 16 bytes of its own, so that a claim that is made again,
-- for its answer was lost, knows itself.
local key, what, expected, value, ttl = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if what == 'try' then
  redis.call('SET', key, value, 'PX', ttl)
  redis.call('DEL', key)
end
local there = redis.call('GET', key)
local old = there and string.sub(there, 17)
if what == 'get' or what == 'try' then
  return {0, old}
elseif what == 'take' then
  if there then
    redis.call('DEL', key)
    return {1, old}
  end
  return {0, false}
elseif what == 'remove' then
  if old == expected then
    redis.call('DEL', key)
    return {1, false}
  end
  return {0, false}
elseif what == 'claim' and there then
  if there == value then
    return {1, false}
  end
  return {0, old}
elseif what == 'replace' and old ~= expected then
  return {0, false}
end
redis.call('SET', key, value, 'PX', ttl)
return {1, false}
