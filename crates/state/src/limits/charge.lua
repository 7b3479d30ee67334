-- Takes all that is claimed or nothing; gives back which claim (from 1) has to
-- wait longest and how long (us), or 0 and 0.
--
-- KEYS: one a claim. ARGV: three a claim, all in us: what it costs, what may be
-- owed already (-1: it is taken whatever is owed), what can be owed at all.
-- A value is two moments by this server's clock: when everything will be paid
-- back, and when that was noted. It is gone when the first is over.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function note(key, debt)
  local value = string.format('%.0f %.0f', now + debt, now)
  redis.call('SET', key, value, 'PX', math.ceil(debt / 1000))
end
local owed, longest, which = {}, 0, 0
for i, key in ipairs(KEYS) do
  local paid, noted = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  paid, noted = tonumber(paid) or 0, tonumber(noted) or 0
  -- Noted later than now: the clock was set back. What was owed then is owed now.
  owed[i] = math.min(math.max(paid - math.max(now, noted), 0), tonumber(ARGV[3 * i]))
  if noted > now and owed[i] > 0 then
    -- By the clock as it is, or nothing would be paid back until it is there again.
    note(key, owed[i])
  end
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
    note(key, math.min(owed[i] + cost, tonumber(ARGV[3 * i])))
  end
end
return {0, 0}
