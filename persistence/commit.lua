#!lua name=fleetbit_3
-- SPDX-License-Identifier: MIT
--
-- The one way in which a fleet changes: fleetbit loads this library into Redis when it connects.
-- By hand: redis-cli -x FUNCTION LOAD REPLACE < commit.lua
--
-- It knows no domain, only the operations of store.h:
--
--     ["put", ROW, ID, {FIELD: TEXT, ...}]     fb:{f}:ROW:ID := the fields, bit ID of fb:{f}:ROWs
--     ["put", ROW, ID, {...}, HISTORY, MS]     and an entry MS-* of fb:{f}:HISTORY:ID, the same
--     ["delete", ROW, ID]                      fb:{f}:ROW:ID goes, and its bit
--     ["days", PLANE, IDS, DATE, COUNT, BIT]   bits IDS of fb:{f}:PLANE:DATE and of the days after
--     ["archive", ROW, IDS]                    fb:{f}:ROW:ID stays, but its bit goes
--     ["queue", QUEUE, ID]                     an entry of fb:{f}:QUEUE: id ID
--
-- IDS is an id, or an array of them. ROWs is the plural: ...y makes ...ies, ...s makes ...ses, all
-- else has an "s" added; but "order" makes "order_ids", for its plural is the queue.
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
local RUN_MAX = 32 -- bits that one SET of a BITFIELD writes
local MASK_RUNS_MIN = 16 -- SETs for which a mask is worth while,
local MASK_BYTES = 256 -- on bitmaps of at most so many bytes for each
local LAST_MS = '^18446744073709551615%-' -- of a stream that cannot take any entry more
local MS_MAX = 99999999999999 -- of an instant: five thousand years
local FORMER_MAX = 8 -- epochs that a head remembers
local FIRST_CHANGE = 10 -- of the arguments of a commit, which have four for each change
local AUTHOR_BYTES = 8 -- of a command id: which process it is of

-- What is called a thousand times in a batch, and not there yet while the library loads: a global
-- is looked up through a table of Redis each time.
local call, pcall_redis, type, pairs, unpack, format

local function begin()
    call, pcall_redis = redis.call, redis.pcall
    type, pairs, unpack, format = _G.type, _G.pairs, _G.unpack, string.format
end

local function is_name(name)
    return type(name) == 'string' and #name <= NAME_BYTES_MAX
        and string.find(name, '^[a-z][a-z0-9_-]*$') ~= nil
end

local function is_integer(number, least, greatest)
    return type(number) == 'number' and number >= least and number <= greatest and number % 1 == 0
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
        dates[i] = format('%04d-%02d-%02d', year, month, day)
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
--     bits        key of a bitmap -> the greatest id whose bit it may set
--     fields      key of a bitmap that it writes several bits of at once -> true
--     mask        key of a bitmap that it makes and takes away again; no operation can name it
--     families    name of a row -> what is the same for all its operations
--     histories   its name -> the beginning of its keys
--     queues      its name -> its key
--     head        fields of the head that it changes
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

local function set_name(name)
    if name == 'order' then
        return 'order_ids'
    end
    local last = string.sub(name, -1)
    if last == 'y' then
        return string.sub(name, 1, -2) .. 'ies'
    end
    return name .. (last == 's' and 'es' or 's')
end

-- Of the rows of that name; nil where it is no name. A batch may have a thousand operations, of one
-- family mostly: so what they have in common is worked out once.
local function family_of(batch, name)
    local family = batch.families[name]
    if not family and is_name(name) then
        local field, archived = 'last_id:' .. name, 'archived:' .. name
        local of_head = call('HMGET', batch.head_key, field, archived)
        family = {
            set = batch.prefix .. set_name(name),
            rows = batch.prefix .. name .. ':',
            field = field,
            last_id = tonumber(of_head[1] or 0),
            archived_field = archived,
            archived = of_head[2], -- some rows are there without their bits
            greatest = 0, -- of the ids in this batch
        }
        batch.families[name] = family
    end
    return family
end

-- It may set or clear the bit of a row.
local function will_touch_row(batch, family, id)
    if id > family.greatest then
        family.greatest = id
        will_touch_bit(batch, family.set, id)
    end
end

local function raise_last_id(batch, family, id)
    family.last_id = id
    batch.head[family.field] = format('%d', id)
end

-- The greatest of IDS, an array of which is sorted; nil where there is none, or one is no id.
local function greatest_of(ids)
    if type(ids) ~= 'table' then
        return is_integer(ids, 1, ID_MAX) and ids or nil
    end
    for _, id in ipairs(ids) do
        if not is_integer(id, 1, ID_MAX) then
            return nil
        end
    end
    table.sort(ids)
    return ids[#ids]
end

-- The beginning of the keys of the histories of that name; nil where it is no name.
local function history_of(batch, name)
    local keys = batch.histories[name]
    if not keys and is_name(name) then
        keys = batch.prefix .. name .. ':'
        batch.histories[name] = keys
    end
    return keys
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

-- The words, after the key, of the BITFIELDs that make the bits of sorted ids so. Neighbours are
-- one SET: a thousand bits are four calls, or, where they stand side by side, one of 32 SETs.
local function bitfields_of(ids, bit)
    local fields, words, at = {}, nil, 1
    while at <= #ids do
        local first, last = ids[at], ids[at]
        while at <= #ids and ids[at] <= last + 1 and ids[at] < first + RUN_MAX do
            last, at = ids[at], at + 1
        end
        if not words or #words + 4 > ARGUMENTS_MAX then
            words = {}
            fields[#fields + 1] = words
        end
        local len, count = last - first + 1, #words
        words[count + 1], words[count + 2] = 'SET', 'u' .. len
        words[count + 3], words[count + 4] = format('%d', first), format('%d', bit * (2 ^ len - 1))
    end
    return fields
end

local function set_bits(key, fields)
    for _, words in ipairs(fields) do
        call('BITFIELD', key, unpack(words))
    end
end

-- How the bits of several ids are written into many bitmaps. Where they are many, and a bitmap is
-- not much longer, a mask goes over the whole of it: a BITFIELD of a thousand SETs takes Redis a
-- quarter of a millisecond, and as long again to write it to its file.
local function writing_of(ids, bit, mask)
    local fields = bitfields_of(ids, bit)
    local runs = (#fields - 1) * (ARGUMENTS_MAX / 4) + #fields[#fields] / 4
    local bytes_max = runs * MASK_BYTES
    local is_masked = runs >= MASK_RUNS_MIN and ids[#ids] / 8 < bytes_max
    return {
        fields = fields,
        mask = is_masked and mask, -- a key
        mask_fields = is_masked and bitfields_of(ids, 1),
        bytes_max = bytes_max, -- of a bitmap on which it goes
    }
end

local function write_bits(keys, writing, bit)
    local mask = writing.mask
    local masked = mask and mask .. 'ed'
    if mask then
        call('DEL', mask)
        set_bits(mask, writing.mask_fields)
    end
    for _, key in ipairs(keys) do
        if not mask or call('STRLEN', key) > writing.bytes_max then
            set_bits(key, writing.fields)
        elseif bit == 1 then
            call('BITOP', 'OR', key, key, mask)
        else
            call('BITOP', 'AND', masked, key, mask)
            call('BITOP', 'XOR', key, key, masked)
        end
    end
    if mask then
        call('DEL', mask, masked)
    end
end

-- Fields and texts of a row, in turn; nil where they are none. The table has room for four fields
-- from the beginning: it would grow three times.
local function words_of(fields)
    local words, count = { 0, 0, 0, 0, 0, 0, 0, 0 }, 0
    for field, text in pairs(fields) do
        if type(text) ~= 'string' or field == '' then
            return nil
        end
        words[count + 1], words[count + 2] = field, text
        count = count + 2
    end
    for unused = count + 1, 8 do
        words[unused] = nil
    end
    -- Of a JSON array, all keys are numbers; of an object, none.
    return type(words[1]) == 'string' and words or nil
end

-- Most rows keep the names of their fields, and then need not be made anew: not where a field has
-- to go, or the key is no row at all. A row that had one of the fields was there before, and so its
-- bit is set, unless it was archived.
local function put_row(family, id, words)
    local row, count = family.rows .. id, #words
    local added = count <= ARGUMENTS_MAX and pcall_redis('HSET', row, unpack(words))
    if type(added) ~= 'number' or call('HLEN', row) ~= count / 2 then
        call('DEL', row)
        for from = 1, count, ARGUMENTS_MAX do
            call('HSET', row, unpack(words, from, math.min(from + ARGUMENTS_MAX - 1, count)))
        end
        added = count / 2
    end
    if added == count / 2 or family.archived then
        set_bit(family.set, id, 1)
    end
end

-- Appends the row to its history, and trims that: in the same call, which costs Redis almost
-- nothing, as long as one of the two bounds is set. "~" leaves up to a node of the stream more.
--
-- It must not fail, for then the row is put already; and looking at every stream beforehand would
-- cost as much as all else. So there is a way out of what could make it fail. A last entry of a
-- later millisecond (the instants of a row never go back, but somebody may have added one by hand):
-- the entry comes behind it, under an id that Redis chooses. A key that is no stream, or has used
-- up the last id there is: it is no history of ours, and begins anew, as a row does.
local function append_history(key, ms, words, keep)
    local entry, from = keep.at(ms)
    local added
    if keep.length then
        added = pcall_redis('XADD', key, 'MAXLEN', '~', keep.length, entry, unpack(words))
    elseif from then
        added = pcall_redis('XADD', key, 'MINID', '~', from, entry, unpack(words))
    else
        added = pcall_redis('XADD', key, entry, unpack(words))
    end
    if type(added) == 'table' then
        added = pcall_redis('XADD', key, '*', unpack(words))
    end
    if type(added) == 'table' then
        call('DEL', key)
        call('XADD', key, entry, unpack(words))
    end
    if keep.length and from then
        call('XTRIM', key, 'MINID', '~', from)
    end
end

-- How much of a history is kept: so many entries, and none that is older by more than so many
-- milliseconds than the one that is added; 0: all. Nil where these are no such numbers.
local function keeping(length, age)
    if not is_integer(length, 0, 2 ^ 53) or not is_integer(age, 0, 2 ^ 53) then
        return nil
    end
    local last, entry, from -- most operations of a batch are of one millisecond
    return {
        length = length > 0 and format('%.0f', length) or nil,
        -- The id of an entry of that instant, and the least one that stays, if age matters.
        at = function(ms)
            if ms ~= last then
                last, entry = ms, format('%.0f-*', ms)
                from = age > 0 and format('%.0f', math.max(0, ms - age)) or nil
            end
            return entry, from
        end,
    }
end

-- For each kind of operation: `check` says what is wrong with it, or makes of its members what
-- `apply` takes and answers nil; `apply` cannot fail. The members are overwritten in their places,
-- for new tables are half of what a batch costs in Lua.
local kinds = {}

-- [kind, family, id, words, beginning of the history's key or nil, milliseconds]
kinds.put = {
    check = function(op, batch)
        local id, fields, ms, members = op[3], op[4], op[6], #op
        local family, history = family_of(batch, op[2]), nil
        if members == 6 and is_integer(ms, 0, MS_MAX) then
            history = history_of(batch, op[5])
        end
        if members ~= (history and 6 or 4) or not family or not is_integer(id, 1, ID_MAX)
            or type(fields) ~= 'table' then
            return 'a put is [kind, row, id, fields] or [.., history, milliseconds]'
        end
        local words = words_of(fields)
        if not words or history and #words > ARGUMENTS_MAX then
            return 'a row has fields with names, and texts as values; with a history at most 500'
        end
        op[2], op[3], op[4], op[5] = family, format('%d', id), words, history
        will_touch_row(batch, family, id)
        if id > family.last_id then
            raise_last_id(batch, family, id)
        end
    end,
    apply = function(op, keep)
        local family, id, words, history = op[2], op[3], op[4], op[5]
        put_row(family, id, words)
        if history then
            append_history(history .. id, op[6], words, keep)
        end
    end,
}

-- [kind, family, id]
kinds.delete = {
    check = function(op, batch)
        local family, id = family_of(batch, op[2]), op[3]
        if #op ~= 3 or not family or not is_integer(id, 1, ID_MAX) then
            return 'a delete is [kind, row, id]'
        end
        op[2], op[3] = family, format('%d', id)
        will_touch_row(batch, family, id)
    end,
    apply = function(op)
        call('DEL', op[2].rows .. op[3])
        set_bit(op[2].set, op[3], 0)
    end,
}

-- [kind, family, words of BITFIELDs]
kinds.archive = {
    check = function(op, batch)
        local family, ids = family_of(batch, op[2]), op[3]
        local greatest = greatest_of(ids)
        if #op ~= 3 or not family or not greatest then
            return 'an archive is [kind, row, ids]'
        end
        op[2] = family
        op[3] = bitfields_of(type(ids) == 'table' and ids or { ids }, 0)
        will_touch_row(batch, family, greatest)
        if greatest > family.last_id then
            raise_last_id(batch, family, greatest)
        end
        batch.fields[family.set] = true
        family.archived = '1'
        batch.head[family.archived_field] = '1'
    end,
    apply = function(op)
        set_bits(op[2].set, op[3])
    end,
}

-- [kind, keys of the days, id or how several are written, .., .., bit]
kinds.days = {
    check = function(op, batch)
        local plane, ids, first, count, bit = op[2], op[3], op[4], op[5], op[6]
        local greatest = greatest_of(ids)
        if #op ~= 6 or not is_name(plane) or not greatest
            or type(first) ~= 'string' or not is_integer(count, 1, DAYS_MAX)
            or not is_integer(bit, 0, 1) then
            return 'a days is [kind, plane, ids, date, count, bit]'
        end
        local writing = type(ids) == 'table' and writing_of(ids, bit, batch.mask)
        local dates = dates_from(first, count)
        if not dates then
            return 'no such dates'
        end
        local keys = {}
        for i, date in ipairs(dates) do
            keys[i] = batch.prefix .. plane .. ':' .. date
            will_touch_bit(batch, keys[i], greatest)
            if writing then
                batch.fields[keys[i]] = true
            end
        end
        if bit == 1 then
            local earliest, latest = 'first_day:' .. plane, 'last_day:' .. plane
            if dates[1] < (head_field(batch, earliest) or '9') then
                batch.head[earliest] = dates[1]
            end
            if dates[count] > (head_field(batch, latest) or '') then
                batch.head[latest] = dates[count]
            end
        end
        op[2], op[3] = keys, writing or format('%d', greatest)
    end,
    apply = function(op)
        local keys, ids, bit = op[2], op[3], op[6]
        local changed = keys
        if type(ids) == 'table' then
            write_bits(keys, ids, bit)
        else
            changed = {}
            for _, key in ipairs(keys) do
                if set_bit(key, ids, bit) then
                    changed[#changed + 1] = key
                end
            end
        end
        -- A day without a machine needs no bitmap, which would be as long as the greatest id.
        for i = 1, bit == 0 and #changed or 0 do
            if call('BITCOUNT', changed[i]) == 0 then
                call('DEL', changed[i])
            end
        end
    end,
}

-- [kind, key of the queue, id]
kinds.queue = {
    check = function(op, batch)
        local queue, id = op[2], op[3]
        if #op ~= 3 or not is_name(queue) or not is_integer(id, 1, ID_MAX) then
            return 'a queue is [kind, queue, id]'
        end
        batch.queues[queue] = batch.queues[queue] or batch.prefix .. queue
        op[2], op[3] = batch.queues[queue], format('%d', id)
    end,
    apply = function(op)
        call('XADD', op[2], '*', 'id', op[3])
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
        local fault = 'no such operation'
        if kind then
            fault = kind.check(op, batch)
        end
        if fault then
            return nil, 'operation ' .. i .. ': ' .. fault
        end
        op[1] = kind
    end
    return ops
end

-- The operations of each change; or nil and the text of the error.
local function changes_of(args, batch)
    local changes = {}
    for at = FIRST_CHANGE, #args, 4 do
        local ops, fault = operations_of(args[at + 3], batch)
        if not ops then
            return nil, 'MALFORMED change ' .. #changes + 1 .. ': ' .. fault
        end
        changes[#changes + 1] = ops
    end
    return changes
end

-- Why a queue would not take an entry: nil, or the text of the error.
local function obstacle_of_queue(key)
    local info = pcall_redis('XINFO', 'STREAM', key)
    if info.err then
        -- It is made by its first entry.
        return call('EXISTS', key) == 1 and info.err or nil
    end
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' and string.find(info[i + 1], LAST_MS) then
            return 'it has used up the last id of a stream'
        end
    end
end

local function may_write(batch, log)
    local may = redis.acl_check_cmd
    local allowed = may('HSET', batch.head_key, 'revision', '0')
        and may('XADD', log, '1-0', 'chain', '') and may('XTRIM', log, 'MAXLEN', '~', '1')
        and may('XLEN', log)
        and may('PUBLISH', batch.prefix .. 'invalidate', '')
    for _, family in pairs(batch.families) do
        local key = family.rows .. '1'
        allowed = allowed and may('DEL', key) and may('HSET', key, 'field', '')
            and may('HLEN', key)
    end
    for _, keys in pairs(batch.histories) do
        local key = keys .. '1'
        allowed = allowed and may('XADD', key, '0-*', 'field', '') and may('DEL', key)
            and may('XTRIM', key, 'MINID', '~', '0')
    end
    for key in pairs(batch.bits) do
        allowed = allowed and may('SETBIT', key, '1', '1') and may('DEL', key)
            and may('BITCOUNT', key)
    end
    for key in pairs(batch.fields) do
        allowed = allowed and may('BITFIELD', key, 'SET', 'u1', '1', '1') and may('STRLEN', key)
            and may('BITOP', 'OR', key, key, batch.mask) and may('DEL', batch.mask)
    end
    for _, key in pairs(batch.queues) do
        allowed = allowed and may('XADD', key, '*', 'id', '1') and may('XINFO', 'STREAM', key)
            and may('EXISTS', key)
    end
    return allowed
end

-- What would make a write fail midway: nil, or the text of the error.
local function obstacle(batch, log)
    if not may_write(batch, log) then
        return 'NOPERM this user may not do all that a commit does'
    end
    -- GETBIT fails where SETBIT would: not a string, or a bit beyond proto-max-bulk-len.
    for key, id in pairs(batch.bits) do
        local bit = pcall_redis('GETBIT', key, id)
        if type(bit) == 'table' then
            return 'DAMAGED ' .. key .. ': ' .. bit.err
        end
    end
    for _, key in pairs(batch.queues) do
        local fault = obstacle_of_queue(key)
        if fault then
            return 'DAMAGED ' .. key .. ': ' .. fault
        end
    end
    local entries = pcall_redis('XLEN', log)
    if type(entries) == 'table' then
        return 'DAMAGED ' .. log .. ': ' .. entries.err
    end
end

-- KEYS: the head. ARGV: schema, epoch, revision and chain that the head must have; run_id of the
-- Redis that the caller speaks to, or nothing where it does not matter; how many microseconds a
-- call of the caller takes; how many entries the log keeps (0: all); how many a history keeps, and
-- for how many milliseconds (0: all, for ever); then chain, command, sum and payload of each
-- change.
-- Answers OK; or STALE and the epoch, revision and chain of the head; or RUN where the head is of
-- another run of Redis: then an epoch must begin first.
local function commit(keys, args)
    begin()
    local log_length = tonumber(args[7])
    local keep = keeping(tonumber(args[8]), tonumber(args[9]))
    if #args < FIRST_CHANGE + 3 or (#args - FIRST_CHANGE + 1) % 4 ~= 0
        or not is_integer(log_length, 0, 2 ^ 53) or not keep then
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
                'STALE ' .. string.sub(args[FIRST_CHANGE + 1], 1, AUTHOR_BYTES) .. ' ' .. args[6])
        end
        return { 'STALE', epoch or '', revision or '', chain or '' }
    end

    local batch = { head_key = keys[1], prefix = prefix, bits = {}, fields = {}, families = {},
        histories = {}, queues = {}, head = {}, mask = prefix .. '.mask' }
    local changes, fault = changes_of(args, batch)
    fault = fault or obstacle(batch, log)
    if fault then
        return redis.error_reply(fault)
    end

    -- The first write is the one that may still fail: a log that is ahead of its head.
    local number = tonumber(revision)
    for i, ops in ipairs(changes) do
        local at = FIRST_CHANGE + 4 * (i - 1)
        local text = format('%d', number + i)
        local added = pcall_redis('XADD', log, text .. '-0', 'chain', args[at],
            'command', args[at + 1], 'sum', args[at + 2], 'change', args[at + 3])
        if type(added) == 'table' then
            return redis.error_reply('DAMAGED ' .. log .. ': ' .. added.err)
        end
        for _, op in ipairs(ops) do
            op[1].apply(op, keep)
        end
        call('PUBLISH', channel, epoch .. ' ' .. text .. ' ' .. args[at] .. ' ' .. args[at + 2]
            .. ' ' .. args[at + 1] .. ' ' .. args[at + 3])
    end

    local words = { 'revision', format('%.0f', number + #changes),
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
    return call('HMGET', key, 'schema', 'epoch', 'revision', 'chain', 'sum', 'since', 'former')
end

-- KEYS: the head. ARGV: schema, epoch and chain of a new fleet, run_id of this Redis.
-- Makes the head where there is none; answers it.
local function init(keys, args)
    begin()
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

-- "EPOCH REVISION EPOCH REVISION ...": the epochs that have ended, the newest first, and the last
-- revision of each that is part of the history.
local function former_epochs(epoch, revision, before)
    local former = { epoch .. ' ' .. revision }
    for one in string.gmatch(before or '', '%x+ %d+') do
        if #former == FORMER_MAX then
            break
        end
        former[#former + 1] = one
    end
    return table.concat(former, ' ')
end

-- KEYS: the head. ARGV: the epoch that ends, or nothing; the epoch that begins; run_id of this
-- Redis, or nothing where it does not matter.
-- Begins the new epoch where the head still has the one that ends, or another run of Redis; where
-- neither is so, somebody else has begun one already. Answers the head.
local function begin_epoch(keys, args)
    begin()
    local epoch, revision, run, former =
        unpack(call('HMGET', keys[1], 'epoch', 'revision', 'run', 'former'))
    if epoch and (epoch == args[1] or args[3] ~= '' and run ~= args[3]) then
        call('HSET', keys[1], 'epoch', args[2], 'since', revision or '', 'run',
            args[3] ~= '' and args[3] or run or '',
            'former', former_epochs(epoch, revision or '0', former))
        call('PUBLISH', string.sub(keys[1], 1, -5) .. 'invalidate', 'EPOCH ' .. args[2])
    end
    return read_head(keys[1])
end

redis.register_function('fleetbit_commit_3', commit)
redis.register_function('fleetbit_init_3', init)
redis.register_function('fleetbit_begin_epoch_3', begin_epoch)
