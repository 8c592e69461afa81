-- Counts one action of a subject, by Redis' own time, in microseconds.
-- KEYS[1]  holds when the allowance is full again (the theoretical arrival time)
-- ARGV[1]  interval: how long it takes until one more may come
-- ARGV[2]  span: how long it takes until a used-up allowance is full again
-- ARGV[3]  1 to count one, -1 to take one back
-- Answers 0 when it was counted, else how long to wait.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
full_at = full_at + tonumber(ARGV[1]) * tonumber(ARGV[3])
local wait = full_at - now - tonumber(ARGV[2])
if wait > 0 then
    return wait
end
if full_at <= now then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], string.format('%.0f', full_at))
    redis.call('PEXPIRE', KEYS[1], math.ceil((full_at - now) / 1000))
end
return 0
