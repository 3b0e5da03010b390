#!lua name=fleetbit_1
-- SPDX-License-Identifier: MIT
--
-- The one way in which a fleet changes: fleetbit loads this library into Redis when it connects.
-- By hand: redis-cli -x FUNCTION LOAD REPLACE < commit.lua
--
-- It knows no domain, only the three operations of store.h:
--
--     ["put", ROW, ID, {FIELD: TEXT, ...}]     fb:{f}:ROW:ID := the fields, bit ID of fb:{f}:ROWs
--     ["delete", ROW, ID]                      fb:{f}:ROW:ID goes, and its bit
--     ["days", PLANE, ID, DATE, COUNT, BIT]    bit ID of fb:{f}:PLANE:DATE and of the days after it
--
-- Redis rolls nothing back. So every call checks all that could fail before it writes anything:
-- the shapes, the types of the keys, the rights of the caller.
--
-- A new meaning of an operation or a key gets a new library and a new number in the names, so that
-- instances of two versions can run side by side.

local ID_MAX = 4294967295
local YEAR_MIN, YEAR_MAX = 1970, 2399
local DAYS_MAX = 157054 -- 1970-01-01 to 2399-12-31
local NAME_BYTES_MAX = 32
local ARGUMENTS_MAX = 1000 -- of one command: unpack() has about 8,000 places
local AUTHOR_BYTES = 8 -- of a command id: which process it is of

local call -- redis.call, which is not there yet while the library loads

local function is_name(name)
    return type(name) == 'string' and #name <= NAME_BYTES_MAX
        and string.find(name, '^[a-z][a-z0-9_-]*$') ~= nil
end

local function is_integer(number, least, greatest)
    return type(number) == 'number' and number >= least and number <= greatest
        and number == math.floor(number)
end

local month_days = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function days_of_month(year, month)
    if month == 2 and year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) then
        return 29
    end
    return month_days[month]
end

-- The texts of `count` dates from `first` on; nil where the calendar has no such dates.
local function dates_from(first, count)
    local year, month, day = string.match(first, '^(%d%d%d%d)%-(%d%d)%-(%d%d)$')
    if not year then
        return nil
    end
    year, month, day = tonumber(year), tonumber(month), tonumber(day)
    if year < YEAR_MIN or month < 1 or month > 12 or day < 1
        or day > days_of_month(year, month) then
        return nil
    end
    local dates = {}
    for i = 1, count do
        if year > YEAR_MAX then
            return nil
        end
        dates[i] = string.format('%04d-%02d-%02d', year, month, day)
        day = day + 1
        if day > days_of_month(year, month) then
            day, month = 1, month + 1
            if month > 12 then
                month, year = 1, year + 1
            end
        end
    end
    return dates
end

-- A batch gathers, while it is checked, what its operations touch:
--     bits     key of a bitmap -> the greatest id whose bit it may set
--     rows     name of a family -> one key of its rows
--     head     fields of the head that it changes
local function will_touch_bit(batch, key, id)
    if id > (batch.bits[key] or 0) then
        batch.bits[key] = id
    end
end

-- The field of the head as the batch has left it so far, or nil.
local function head_field(batch, field)
    local value = batch.head[field]
    if value == nil then
        value = call('HGET', batch.head_key, field)
        batch.head[field] = value
    end
    return value or nil
end

-- The fields of the head that a batch has set, in an order that is good to read.
local function sorted_fields(head)
    local fields = {}
    for field, value in pairs(head) do
        if value then
            fields[#fields + 1] = field
        end
    end
    table.sort(fields)
    return fields
end

-- Numbers go to Redis as texts: it would print them with 17 digits.
local bit_texts = { [0] = '0', [1] = '1' }

-- Says whether it was the other one before.
local function set_bit(key, id_text, bit)
    if call('GETBIT', key, id_text) == bit then
        return false
    end
    call('SETBIT', key, id_text, bit_texts[bit])
    return true
end

-- Most rows keep the names of their fields, and then need not be made anew. False where a field has
-- to go, or the key is no row at all.
local function overwrite(op)
    if #op.words > ARGUMENTS_MAX then
        return false
    end
    local set = redis.pcall('HSET', op.row, unpack(op.words))
    return type(set) == 'number' and call('HLEN', op.row) == #op.words / 2
end

-- For each kind of operation: `check` says what is wrong with it, or nil, and prepares it;
-- `apply` cannot fail.
local kinds = {}

kinds.put = {
    check = function(op, batch)
        local name, id, fields = op[2], op[3], op[4]
        if #op ~= 4 or not is_name(name) or not is_integer(id, 1, ID_MAX)
            or type(fields) ~= 'table' then
            return 'a put is [kind, row, id, fields]'
        end
        local words, count = {}, 0
        for field, text in pairs(fields) do
            if type(field) ~= 'string' or field == '' or type(text) ~= 'string' then
                return 'the fields of a row have names, and texts as values'
            end
            words[count + 1], words[count + 2] = field, text
            count = count + 2
        end
        if count == 0 then
            return 'a row has at least one field'
        end
        op.words = words
        op.set = batch.prefix .. name .. 's'
        op.id = string.format('%d', id)
        op.row = batch.prefix .. name .. ':' .. op.id
        batch.rows[name] = op.row
        will_touch_bit(batch, op.set, id)
        local field = 'last_id:' .. name
        if id > tonumber(head_field(batch, field) or 0) then
            batch.head[field] = op.id
        end
    end,
    apply = function(op)
        if not overwrite(op) then
            call('DEL', op.row)
            for from = 1, #op.words, ARGUMENTS_MAX do
                local to = math.min(from + ARGUMENTS_MAX - 1, #op.words)
                call('HSET', op.row, unpack(op.words, from, to))
            end
        end
        set_bit(op.set, op.id, 1)
    end,
}

kinds.delete = {
    check = function(op, batch)
        local name, id = op[2], op[3]
        if #op ~= 3 or not is_name(name) or not is_integer(id, 1, ID_MAX) then
            return 'a delete is [kind, row, id]'
        end
        op.set = batch.prefix .. name .. 's'
        op.id = string.format('%d', id)
        op.row = batch.prefix .. name .. ':' .. op.id
        batch.rows[name] = op.row
        will_touch_bit(batch, op.set, id)
    end,
    apply = function(op)
        call('DEL', op.row)
        set_bit(op.set, op.id, 0)
    end,
}

kinds.days = {
    check = function(op, batch)
        local plane, id, first, count, bit = op[2], op[3], op[4], op[5], op[6]
        if #op ~= 6 or not is_name(plane) or not is_integer(id, 1, ID_MAX)
            or type(first) ~= 'string' or not is_integer(count, 1, DAYS_MAX)
            or not is_integer(bit, 0, 1) then
            return 'a days is [kind, plane, id, date, count, bit]'
        end
        local dates = dates_from(first, count)
        if not dates then
            return 'no such dates'
        end
        op.id = string.format('%d', id)
        op.keys = {}
        for i, date in ipairs(dates) do
            op.keys[i] = batch.prefix .. plane .. ':' .. date
            will_touch_bit(batch, op.keys[i], id)
        end
        if bit == 1 then
            local least, greatest = 'first_day:' .. plane, 'last_day:' .. plane
            if dates[1] < (head_field(batch, least) or '9') then
                batch.head[least] = dates[1]
            end
            if dates[count] > (head_field(batch, greatest) or '') then
                batch.head[greatest] = dates[count]
            end
        end
    end,
    apply = function(op)
        for _, key in ipairs(op.keys) do
            local changed = set_bit(key, op.id, op[6])
            -- A day without a machine needs no bitmap, which would be as long as the greatest id.
            if changed and op[6] == 0 and call('BITCOUNT', key) == 0 then
                call('DEL', key)
            end
        end
    end,
}

-- The operations of a payload, checked; or nil and what is wrong.
local function operations_of(payload, batch)
    local decoded, ops = pcall(cjson.decode, payload)
    if not decoded or type(ops) ~= 'table' or string.byte(payload) ~= 91 then
        return nil, 'it is no JSON array'
    end
    for i, op in ipairs(ops) do
        local kind = type(op) == 'table' and kinds[op[1]]
        local fault = kind and kind.check(op, batch) or not kind and 'no such operation'
        if fault then
            return nil, 'operation ' .. i .. ': ' .. fault
        end
        op.apply = kind.apply
    end
    return ops
end

-- What would make a write fail midway: nil, or the text of the error.
local function obstacle(batch, log)
    local may = redis.acl_check_cmd
    local allowed = may('HSET', batch.head_key, 'revision', '0')
        and may('XADD', log, '1-0', 'chain', '') and may('XTRIM', log, 'MAXLEN', '~', '1')
        and may('PUBLISH', batch.prefix .. 'invalidate', '')
    for _, key in pairs(batch.rows) do
        allowed = allowed and may('DEL', key) and may('HSET', key, 'field', '')
            and may('HLEN', key)
    end
    for key in pairs(batch.bits) do
        allowed = allowed and may('SETBIT', key, '1', '1') and may('DEL', key)
            and may('BITCOUNT', key)
    end
    if not allowed then
        return 'NOPERM this user may not do all that a commit does'
    end
    -- GETBIT fails where SETBIT would: not a string, or a bit beyond proto-max-bulk-len.
    for key, id in pairs(batch.bits) do
        local bit = redis.pcall('GETBIT', key, id)
        if type(bit) == 'table' then
            return 'DAMAGED ' .. key .. ': ' .. bit.err
        end
    end
    if call('TYPE', log).ok ~= 'none' then
        local last = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', '1')
        if last.err then
            return 'DAMAGED ' .. log .. ': ' .. last.err
        end
    end
end

-- KEYS: the head. ARGV: schema, epoch, revision and chain that the head must have; run_id of the
-- Redis that the caller speaks to, or nothing where it does not matter; how many microseconds a
-- call of the caller takes; how many entries the log keeps (0: all); then chain, command, sum and
-- payload of each change.
-- Answers OK; or STALE and the epoch, revision and chain of the head; or RUN where the head is of
-- another run of Redis: then an epoch must begin first.
local function commit(keys, args)
    call = redis.call
    local log_length = tonumber(args[7])
    if #args < 11 or (#args - 7) % 4 ~= 0 or not is_integer(log_length, 0, 2 ^ 53) then
        return redis.error_reply('MALFORMED wrong number of arguments')
    end
    local schema, epoch, revision, chain, run =
        unpack(call('HMGET', keys[1], 'schema', 'epoch', 'revision', 'chain', 'run'))
    if schema and schema ~= args[1] then
        return redis.error_reply('SCHEMA ' .. schema)
    end
    if args[5] ~= '' and run ~= args[5] then
        return { 'RUN' }
    end
    local prefix = string.sub(keys[1], 1, -5) -- without 'head'
    local log, channel = prefix .. 'log', prefix .. 'invalidate'
    if epoch ~= args[2] or revision ~= args[3] or chain ~= args[4] then
        -- Who comes second is announced, so that the others leave it its turn, and time for it.
        if redis.acl_check_cmd('PUBLISH', channel, '') then
            call('PUBLISH', channel,
                'STALE ' .. string.sub(args[9], 1, AUTHOR_BYTES) .. ' ' .. args[6])
        end
        return { 'STALE', epoch or '', revision or '', chain or '' }
    end

    local batch = { head_key = keys[1], prefix = prefix, bits = {}, rows = {}, head = {} }
    local changes = {}
    for at = 8, #args, 4 do
        local ops, fault = operations_of(args[at + 3], batch)
        if not ops then
            return redis.error_reply('MALFORMED change ' .. #changes + 1 .. ': ' .. fault)
        end
        changes[#changes + 1] = ops
    end
    local fault = obstacle(batch, log)
    if fault then
        return redis.error_reply(fault)
    end

    -- The first write is the one that may still fail: a log that is ahead of its head.
    local number = tonumber(revision)
    for i, ops in ipairs(changes) do
        local at = 4 + 4 * i
        local text = string.format('%d', number + i)
        local added = redis.pcall('XADD', log, text .. '-0', 'chain', args[at],
            'command', args[at + 1], 'sum', args[at + 2], 'change', args[at + 3])
        if type(added) == 'table' then
            return redis.error_reply('DAMAGED ' .. log .. ': ' .. added.err)
        end
        for _, op in ipairs(ops) do
            op:apply()
        end
        call('PUBLISH', channel, epoch .. ' ' .. text .. ' ' .. args[at] .. ' ' .. args[at + 2]
            .. ' ' .. args[at + 1] .. ' ' .. args[at + 3])
    end

    local words = { 'revision', string.format('%.0f', number + #changes),
        'chain', args[#args - 3], 'sum', args[#args - 1] }
    for _, field in ipairs(sorted_fields(batch.head)) do
        words[#words + 1] = field
        words[#words + 1] = batch.head[field]
    end
    for from = 1, #words, ARGUMENTS_MAX do
        call('HSET', keys[1], unpack(words, from, math.min(from + ARGUMENTS_MAX - 1, #words)))
    end
    if log_length > 0 then
        call('XTRIM', log, 'MAXLEN', '~', log_length)
    end
    return redis.status_reply('OK')
end

local function read_head(key)
    return call('HMGET', key, 'schema', 'epoch', 'revision', 'chain', 'sum', 'since')
end

-- KEYS: the head. ARGV: schema, epoch and chain of a new fleet, run_id of this Redis.
-- Makes the head where there is none; answers it.
local function init(keys, args)
    call = redis.call
    if call('EXISTS', keys[1]) == 0 then
        local log = string.sub(keys[1], 1, -5) .. 'log'
        if call('EXISTS', log) == 1 then
            return redis.error_reply('DAMAGED ' .. keys[1] .. ' is missing beside ' .. log)
        end
        call('HSET', keys[1], 'schema', args[1], 'epoch', args[2], 'revision', '0',
            'chain', args[3], 'sum', '0000000000000000', 'since', '0', 'run', args[4])
    end
    return read_head(keys[1])
end

-- KEYS: the head. ARGV: the epoch that ends, or nothing; the epoch that begins; run_id of this
-- Redis, or nothing where it does not matter.
-- Begins the new epoch where the head still has the one that ends, or another run of Redis; where
-- neither is so, somebody else has begun one already. Answers the head.
local function begin_epoch(keys, args)
    call = redis.call
    local epoch, revision, run = unpack(call('HMGET', keys[1], 'epoch', 'revision', 'run'))
    if epoch and (epoch == args[1] or args[3] ~= '' and run ~= args[3]) then
        call('HSET', keys[1], 'epoch', args[2], 'since', revision or '', 'run',
            args[3] ~= '' and args[3] or run or '')
        call('PUBLISH', string.sub(keys[1], 1, -5) .. 'invalidate', 'EPOCH ' .. args[2])
    end
    return read_head(keys[1])
end

redis.register_function('fleetbit_commit_1', commit)
redis.register_function('fleetbit_init_1', init)
redis.register_function('fleetbit_begin_epoch_1', begin_epoch)
