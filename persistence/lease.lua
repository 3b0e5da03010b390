#!lua name=fleetbit_lease_1
-- SPDX-License-Identifier: MIT
--
-- The leases of store.h: a text, its owner, that Redis forgets when its time is over. In Redis,
-- because the look at the owner and what follows from it must not be parted.

-- KEYS: the lease. ARGV: who wants it, for how many milliseconds. Answers 1 where he has it now.
local function take(keys, args)
    local owner = redis.pcall('GET', keys[1])
    if type(owner) == 'table' then
        return redis.error_reply('DAMAGED ' .. keys[1] .. ': ' .. owner.err)
    end
    if owner and owner ~= args[1] then
        return 0
    end
    redis.call('SET', keys[1], args[1], 'PX', args[2])
    return 1
end

-- KEYS: the lease. ARGV: whose it is no more.
local function leave(keys, args)
    local owner = redis.pcall('GET', keys[1])
    if owner == args[1] then
        return redis.call('DEL', keys[1])
    end
    return 0
end

redis.register_function('fleetbit_lease_take_1', take)
redis.register_function('fleetbit_lease_leave_1', leave)
