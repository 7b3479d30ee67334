-- Runs one command on one key. Returns whether it was applied (1 or 0; -1 if the store
-- is full, -2 if the caller's share is), the old value where the command returns it,
-- the time by the clock of the store, and the size of all pinned entries.
--
-- KEYS: the entry; a hash with the clock and the sizes; a hash with the size of each
-- caller's entries; two sorted sets of entries by expiry: pinned, evictable; a sorted set
-- of callers by the size of their evictable entries. A caller's own evictable entries are
-- in a sorted set whose name is that of all of them and the caller.
-- ARGV: the command, the expected value, the new value, its lifetime (ms), whether it is
-- evictable (1 or 0), and the limit of the store in bytes.
-- An entry is a 16-byte nonce, by which a repeated claim recognizes itself after its
-- reply was lost, the 8 bytes of its caller, and the value.
local entry, state, shares = KEYS[1], KEYS[2], KEYS[3]
local classes = {{KEYS[4], 'pinned', shares}, {KEYS[5], 'evictable', KEYS[6]}}
local NOBODY = '\0\0\0\0\0\0\0\0'
local command, expected, value = ARGV[1], ARGV[2], ARGV[3]
local ttl, limit = tonumber(ARGV[4]), tonumber(ARGV[6])
local class = classes[ARGV[5] == '1' and 2 or 1]
local OVERHEAD, MAX_STEP, MAX_PURGED = 256, 10000, 32

-- The clock of the store: that of Redis, but it never goes back, and no step of it is
-- longer than 10 s, because a longer one is a jump. Replicas ask every 4 s.
local time = redis.call('TIME')
local reading = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', state, 'reading', 'clock', 'pinned', 'evictable')
local clock = tonumber(known[2]) or reading
clock = clock + math.max(0, math.min(MAX_STEP, reading - (tonumber(known[1]) or reading)))
local size = {pinned = tonumber(known[3]) or 0, evictable = tonumber(known[4]) or 0}
-- A Redis without memory refuses this, unless the command adds nothing.
local adds = command == 'claim' or command == 'put' or command == 'replace' or command == 'try'
local set = adds and redis.call or redis.pcall
set('HSET', state, 'reading', reading, 'clock', clock)

local function whole(number)
  return string.format('%.0f', number)
end

local function account(of, caller, cost)
  size[of[2]] = math.max(0, size[of[2]] + cost)
  redis.call('HSET', state, of[2], whole(size[of[2]]))
  if caller == NOBODY then
    return
  end
  if of == classes[2] then
    local share = (tonumber(redis.call('ZSCORE', of[3], caller)) or 0) + cost
    if share > 0 then
      redis.call('ZADD', of[3], whole(share), caller)
    else
      redis.call('ZREM', of[3], caller)
    end
  elseif redis.call('HINCRBY', of[3], caller, whole(cost)) <= 0 then
    redis.call('HDEL', of[3], caller)
  end
end

local function forget(of, name)
  -- First, because Redis refuses no later command of a script that has written.
  redis.call('ZREM', of[1], name)
  local length = redis.call('STRLEN', name)
  if length > 0 then
    local caller = redis.call('GETRANGE', name, 16, 23)
    if of == classes[2] then
      redis.call('ZREM', of[1] .. caller, name)
    end
    account(of, caller, -(length - 24 + OVERHEAD))
  end
  redis.call('DEL', name)
end

-- The first evictable entry of the caller who has the most, so that nobody can evict what
-- others have. Entries of earlier versions have no caller in the set.
local function first_to_evict()
  local caller = redis.call('ZRANGE', KEYS[6], -1, -1)[1]
  if caller then
    local own = KEYS[5] .. caller
    local first = redis.call('ZRANGE', own, 0, 0)[1]
    if first then
      -- Also if the entry itself is lost.
      redis.call('ZREM', own, first)
      return first
    end
    redis.call('ZREM', KEYS[6], caller)
  end
  return redis.call('ZRANGE', KEYS[5], 0, 0)[1]
end

local function reply(applied, old)
  return {applied, old, clock, size.pinned}
end

-- Runs every kind of command once, because Redis does not roll back a script that fails
-- for want of a right: the middle of a change is too late.
if command == 'try' then
  local caller = string.sub(value, 17, 24)
  redis.call('SET', entry, value, 'PX', ttl)
  redis.call('GET', entry)
  redis.call('STRLEN', entry)
  redis.call('GETRANGE', entry, 16, 23)
  redis.call('ZADD', KEYS[4], 0, entry)
  redis.call('ZSCORE', KEYS[4], entry)
  redis.call('ZRANGE', KEYS[6], -1, -1)
  redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', clock, 'LIMIT', 0, 1)
  redis.call('ZREM', KEYS[4], entry)
  redis.call('HINCRBY', shares, caller, 0)
  redis.call('HGET', shares, caller)
  redis.call('HDEL', shares, caller)
  redis.call('DEL', entry)
  return reply(0, false)
end
local stored = redis.call('GET', entry)
local ends = stored and redis.call('ZSCORE', class[1], entry)
if ends and tonumber(ends) <= clock then
  stored = false
end
local old = stored and string.sub(stored, 25)
if command == 'get' then
  return reply(0, old)
end
for _, of in ipairs(classes) do
  local ended = redis.call('ZRANGEBYSCORE', of[1], '-inf', clock, 'LIMIT', 0, MAX_PURGED)
  for _, name in ipairs(ended) do
    forget(of, name)
  end
end
if command == 'take' then
  if stored then
    forget(class, entry)
    return reply(1, old)
  end
  return reply(0, false)
elseif command == 'remove' then
  if old == expected then
    forget(class, entry)
    return reply(1, false)
  end
  return reply(0, false)
elseif command == 'claim' and stored then
  if stored == value then
    return reply(1, false)
  end
  return reply(0, old)
elseif command == 'replace' and old ~= expected then
  return reply(0, false)
end

local cost = #value - 24 + OVERHEAD
local before = stored and #stored - 24 + OVERHEAD or 0
local caller = string.sub(value, 17, 24)
local pinned = size.pinned - (class == classes[1] and before or 0)
if pinned + cost > limit then
  return reply(-1, false)
end
if class == classes[1] and before == 0 and caller ~= NOBODY then
  local used = tonumber(redis.call('HGET', shares, caller)) or 0
  if used + cost > limit - pinned then
    return reply(-2, false)
  end
end
forget(class, entry)
while size.pinned + size.evictable + cost > limit do
  local first = first_to_evict()
  if not first then
    break
  end
  forget(classes[2], first)
end
account(class, caller, cost)
redis.call('ZADD', class[1], whole(clock + ttl), entry)
if class == classes[2] and caller ~= NOBODY then
  redis.call('ZADD', class[1] .. caller, whole(clock + ttl), entry)
end
redis.call('SET', entry, value)
return reply(1, false)
