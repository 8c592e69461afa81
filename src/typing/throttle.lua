-- What is to be told of one person's typing in one conversation. The same rules as `step` in throttle.rs.
-- KEYS[1]: the person in the conversation. ARGV: what was said ('1', '0', or '' for a look at what waits), the interval
-- and the life of typing in milliseconds. Answers {0, what to tell}, {milliseconds to wait} or {-1}: nothing to do.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'told', 'told_at', 'waits')
local told, told_at, waits = known[1], tonumber(known[2] or '0'), known[3]
local wanted = ARGV[1]
if wanted == '' then wanted = waits end
if not wanted then return {-1} end
-- Told to be typing, and not long enough ago that it has ended by itself.
local is_typing = told == '1' and now < told_at + ARGV[3]
if wanted == '0' and not is_typing then
  redis.call('HDEL', KEYS[1], 'waits')
  return {-1}
end
if now >= told_at + ARGV[2] then
  redis.call('HSET', KEYS[1], 'told', wanted, 'told_at', string.format('%.0f', now))
  redis.call('HDEL', KEYS[1], 'waits')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {0, tonumber(wanted)}
end
redis.call('HSET', KEYS[1], 'waits', wanted)
return {told_at + ARGV[2] - now}
