-- Takes all that is claimed or nothing; gives back which claim (from 1) has to
-- wait longest and how long (us), or 0 and 0.
--
-- KEYS: one a claim. ARGV: three a claim, all in us: what it costs, what may be
-- owed already (-1: it is taken whatever is owed), what can be owed at all.
-- A value is the moment at which everything will be paid back, by this server's
-- clock; it is gone when that moment is.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local owed, longest, which = {}, 0, 0
for i, key in ipairs(KEYS) do
  local value = tonumber(redis.call('GET', key) or 0) or 0
  -- A clock that was set back must not make anybody wait for ever.
  owed[i] = math.min(math.max(value - now, 0), tonumber(ARGV[3 * i]))
  local most = tonumber(ARGV[3 * i - 1])
  if most >= 0 and owed[i] - most > longest then
    longest, which = owed[i] - most, i
  end
end
if which > 0 then
  return {which, math.ceil(longest)}
end
for i, key in ipairs(KEYS) do
  local cost = tonumber(ARGV[3 * i - 2])
  if cost > 0 then
    local debt = math.min(owed[i] + cost, tonumber(ARGV[3 * i]))
    redis.call('SET', key, string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
  end
end
return {0, 0}
