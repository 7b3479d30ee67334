-- Charges all requests or none. Returns the request (from 1) with the longest wait
-- and that wait (us), or 0 and 0.
--
-- KEYS: one per request. ARGV: three per request, all in us: its cost, the debt
-- up to which it is allowed (-1: always), and the largest possible debt.
-- A value is two times by this server's clock: when all debt will be refilled, and
-- when that was stored. It expires at the first.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function store(key, debt)
  local value = string.format('%.0f %.0f', now + debt, now)
  redis.call('SET', key, value, 'PX', math.ceil(debt / 1000))
end
local debts, longest, which = {}, 0, 0
for i, key in ipairs(KEYS) do
  local refilled, stored = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  refilled, stored = tonumber(refilled) or 0, tonumber(stored) or 0
  -- Stored in the future: the clock was set back. The debt then is the debt now.
  debts[i] = math.min(math.max(refilled - math.max(now, stored), 0), tonumber(ARGV[3 * i]))
  if stored > now and debts[i] > 0 then
    -- Stored again by the new clock; otherwise nothing is refilled until it catches up.
    store(key, debts[i])
  end
  local tolerance = tonumber(ARGV[3 * i - 1])
  if tolerance >= 0 and debts[i] - tolerance > longest then
    longest, which = debts[i] - tolerance, i
  end
end
if which > 0 then
  return {which, math.ceil(longest)}
end
for i, key in ipairs(KEYS) do
  local cost = tonumber(ARGV[3 * i - 2])
  if cost > 0 then
    store(key, math.min(debts[i] + cost, tonumber(ARGV[3 * i])))
  end
end
return {0, 0}
