-- SPDX-License-Identifier: MIT
-- What a thousand people who plan with the demo fleet ask for, for wrk. test_load.py runs it; the
-- first argument is a date.

local dates = {}
local number = 0

function init(arguments)
    local year, month = string.match(arguments[1], '^(%d+)-(%d+)-')
    for day = 1, 28 do
        dates[day] = string.format('%s-%s-%02d', year, month, day)
    end
end

function request()
    number = number + 1
    local date = dates[number % 28 + 1]
    local kind = number % 8
    if kind == 0 then
        return wrk.format('GET', '/v1/machines?limit=20')
    elseif kind == 1 then
        return wrk.format('GET', '/v1/availability/calendar?from=' .. dates[1] .. '&to=' .. date)
    elseif kind < 5 then
        return wrk.format('GET', '/v1/availability?date=' .. date .. '&limit=20')
    end
    return wrk.format('GET', '/v1/machines/' .. number * 7919 % 1000 + 1)
end
