#!lua name=fleetbit_queue_1
-- SPDX-License-Identifier: MIT
--
-- How jobs leave a queue: the functions of store.h, which the store loads into Redis when it first
-- uses one. A queue is a stream fb:{f}:QUEUE, to which commit.lua adds ids, with one group of
-- consumers, named as the queue. What nobody has read is nobody's; what somebody has, is pending.
--
-- In Redis, because each of them is several commands that must not be parted: who is idle must not
-- wake between a look at what it has and its end.

local LAST = '18446744073709551615-18446744073709551614' -- nothing comes after it
local ID_MAX = 4294967295
local PAGE = 1000

local function refused(key, answer)
    return redis.error_reply('DAMAGED ' .. key .. ': ' .. answer.err)
end

-- The group is made where it is missing: at first, and after Redis has lost everything. It begins
-- with all that the stream has.
local function with_group(key, group, ...)
    local answer = redis.pcall(...)
    if type(answer) == 'table' and answer.err and string.find(answer.err, '^NOGROUP') then
        answer = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
        if not answer.err then
            answer = redis.pcall(...)
        end
    end
    return answer
end

local function id_of(fields)
    local id = type(fields) == 'table' and #fields == 2 and fields[1] == 'id'
        and string.find(fields[2], '^[1-9]%d*$') and tonumber(fields[2])
    return id and id <= ID_MAX and fields[2] or nil
end

-- Appends mark and id of each entry to `jobs`. What is no job of ours leaves the stream, or it
-- would be claimed by one after the other for ever; `jobs` counts it.
local function add_jobs(key, group, entries, jobs)
    for _, entry in ipairs(entries) do
        local id = id_of(entry[2])
        if id then
            jobs[#jobs + 1], jobs[#jobs + 2] = entry[1], id
        else
            redis.call('XACK', key, group, entry[1])
            redis.call('XDEL', key, entry[1])
            jobs[1] = jobs[1] + 1
        end
    end
end

-- The entries that the consumer has, after that mark; with '>', those that become its own.
-- Redis 7.0 takes only a reading of the first kind for a sign of life, if there is nothing to read.
local function read(key, group, consumer, count, after)
    local answer = with_group(key, group, 'XREADGROUP', 'GROUP', group, consumer, 'COUNT', count,
        'STREAMS', key, after)
    if answer and answer.err then
        return nil, answer
    end
    return answer and answer[1][2] or {}
end

-- KEYS: the queue. ARGV: its group, the consumer, how many jobs at most, and the mark after which
-- the consumer wants its own jobs once more.
-- Answers how many entries were no jobs; the mark for the next call; and of each job mark and id.
local function take(keys, args)
    local key, group, consumer, max = keys[1], args[1], args[2], tonumber(args[3])
    local jobs = { 0, LAST }
    local own, fault = read(key, group, consumer, max, args[4])
    if fault then
        return refused(key, fault)
    end
    add_jobs(key, group, own, jobs)
    if #own == max then
        jobs[2] = own[max][1]
    else
        add_jobs(key, group, read(key, group, consumer, max - #own, '>'), jobs)
    end
    return jobs
end

-- The members of a reply that has names and values in turn.
local function members(reply)
    local found = {}
    for i = 1, #reply, 2 do
        found[reply[i]] = reply[i + 1]
    end
    return found
end

-- The marks of at most that many of its jobs.
local function marks_of(key, group, consumer, max)
    local marks = {}
    for i, pending in ipairs(redis.call('XPENDING', key, group, '-', '+', max, consumer)) do
        marks[i] = pending[1]
    end
    return marks
end

-- KEYS: the queue. ARGV: its group, the consumer, how many milliseconds without a sign of life make
-- another one dead, how many jobs at most.
-- Answers how many entries were no jobs, and of each job of a dead one mark and id. Who is dead and
-- has no job is forgotten.
local function claim(keys, args)
    local key, group, consumer = keys[1], args[1], args[2]
    local idle_ms, max = tonumber(args[3]), tonumber(args[4])
    local jobs, claimed = { 0 }, 0
    local _, fault = read(key, group, consumer, 1, LAST)
    if fault then
        return refused(key, fault)
    end
    for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', key, group)) do
        local other = members(reply)
        local is_dead = other.name ~= consumer and other.idle >= idle_ms
        if is_dead and other.pending == 0 then
            redis.call('XGROUP', 'DELCONSUMER', key, group, other.name)
        elseif is_dead and claimed < max then
            local marks = marks_of(key, group, other.name, max - claimed)
            claimed = claimed + #marks
            add_jobs(key, group, redis.call('XCLAIM', key, group, consumer, 0, unpack(marks)), jobs)
        end
    end
    return jobs
end

-- KEYS: the queue. ARGV: its group, and the marks of jobs that leave the queue.
local function done(keys, args)
    local acknowledged = redis.pcall('XACK', keys[1], unpack(args))
    if type(acknowledged) == 'table' then
        return refused(keys[1], acknowledged)
    end
    return redis.call('XDEL', keys[1], unpack(args, 2))
end

-- KEYS: the queue. ARGV: its group, the consumer: what it has goes to the end of the queue, and it
-- is forgotten.
local function leave(keys, args)
    local key, group, consumer = keys[1], args[1], args[2]
    local _, fault = read(key, group, consumer, 1, LAST)
    if fault then
        return refused(key, fault)
    end
    local marks = marks_of(key, group, consumer, PAGE)
    while #marks > 0 do
        for _, mark in ipairs(marks) do
            local entry = redis.call('XRANGE', key, mark, mark)[1]
            if entry then
                redis.call('XADD', key, '*', unpack(entry[2]))
            end
        end
        redis.call('XACK', key, group, unpack(marks))
        redis.call('XDEL', key, unpack(marks))
        marks = marks_of(key, group, consumer, PAGE)
    end
    return redis.call('XGROUP', 'DELCONSUMER', key, group, consumer)
end

redis.register_function('fleetbit_queue_take_1', take)
redis.register_function('fleetbit_queue_claim_1', claim)
redis.register_function('fleetbit_queue_done_1', done)
redis.register_function('fleetbit_queue_leave_1', leave)
