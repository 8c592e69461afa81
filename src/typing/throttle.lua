-- What is to be told of one person's typing in one conversation. The same rules as `step` in throttle.rs.
-- KEYS[1]: the person in the conversation. ARGV: what was said ('1', '0', or '' for a look at what waits), the interval
-- and the life of typing in milliseconds, and when it was said by the clock of the process. Answers {milliseconds to
-- wait}, {-1} if there is nothing to do, or {0, what to tell, its age in milliseconds, when it was said}.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'told', 'told_at', 'waits', 'waits_since', 'waits_said')
local told, told_at, waits = known[1], tonumber(known[2] or '0'), known[3]
local wanted, since, said_at = ARGV[1], now, ARGV[4]
if wanted == '' then
  wanted, since, said_at = waits, tonumber(known[4] or now), known[5] or said_at
end
if not wanted then return {-1} end
-- Told to be typing, and not long enough ago that it has ended by itself.
local is_typing = told == '1' and now < told_at + ARGV[3]
if wanted == '0' and not is_typing then
  redis.call('HDEL', KEYS[1], 'waits', 'waits_since', 'waits_said')
  return {-1}
end
if now >= told_at + ARGV[2] then
  redis.call('HSET', KEYS[1], 'told', wanted, 'told_at', string.format('%.0f', now))
  redis.call('HDEL', KEYS[1], 'waits', 'waits_since', 'waits_said')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {0, tonumber(wanted), now - since, tonumber(said_at)}
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], 'waits', wanted, 'waits_since', string.format('%.0f', now), 'waits_said', said_at)
end
return {told_at + ARGV[2] - now}
