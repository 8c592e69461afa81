-- Counts actions of a subject, by Redis' own time, in microseconds.
-- KEYS[1]  holds when the allowance is full again (the theoretical arrival time)
-- ARGV[1]  interval: how long it takes until one more may come
-- ARGV[2]  span: how long it takes until a used-up allowance is full again
-- ARGV[3]  how many to count; below zero, how many to take back
-- ARGV[4]  1: they have happened already, so they are counted whatever is left
-- Answers {0, time until the allowance is full} when they were counted, else {how long to wait, that time}.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local span = tonumber(ARGV[2])
local before = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local full_at = before + tonumber(ARGV[1]) * tonumber(ARGV[3])
if full_at - now > span then
    if ARGV[4] ~= '1' then
        return {full_at - now - span, before - now}
    end
    full_at = math.max(before, now + span)
end
if full_at <= now then
    redis.call('DEL', KEYS[1])
    return {0, 0}
end
redis.call('SET', KEYS[1], string.format('%.0f', full_at))
redis.call('PEXPIRE', KEYS[1], math.ceil((full_at - now) / 1000))
return {0, full_at - now}
