-- SPDX-License-Identifier: MIT
-- Writes without end: a PATCH of one of the first machines after the other. Behind "--" are how
-- many machines there are and, if it is not to write as fast as it can, after how many milliseconds
-- each connection writes again. Prints its figures as wrk.lua does.
-- By hand, on the fleet of `./dev run`:
--
--     wrk -t1 -c64 -d5s -s bench/patch.lua http://127.0.0.1:8080 -- 1000

dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "figures.lua")

local machines = 1
local count = 0

function init(args)
   machines = tonumber(args[1]) or 1
   math.randomseed(os.time())
   wrk.method = "PATCH"
   wrk.headers["Content-Type"] = "application/merge-patch+json"
   local pause = tonumber(args[2])
   if pause then
      -- So that they do not all come together.
      delay = function() return math.random(2 * pause) end
   end
end

function request()
   count = count + 1
   local target = "/v1/machines/" .. math.random(machines)
   return wrk.format(nil, target, nil, '{"label":"L' .. count .. '"}')
end
