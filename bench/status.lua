-- SPDX-License-Identifier: MIT
-- Status changes without end, in batches. Behind "--" are how many machines there are, and how many
-- changes a batch has. Prints its figures as wrk.lua does; each request is a batch.
-- By hand, on the fleet of `./dev run`:
--
--     wrk -t1 -c8 -d5s -s bench/status.lua http://127.0.0.1:8080 -- 1000 1000

dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "figures.lua")

local states = { "green", "yellow", "red" }
local requests = {}
local at = 0

function init(args)
   local machines, size = tonumber(args[1]) or 1, tonumber(args[2]) or 1
   local headers = { ["Content-Type"] = "application/json" }
   for number = 1, #states do
      local changes = {}
      for i = 1, size do
         changes[i] = string.format('{"machine_id":%d,"status":"%s","updated_by":"line %d"}',
            (number * size + i) % machines + 1, states[(number + i) % #states + 1], i % 7)
      end
      requests[number] = wrk.format("POST", "/v1/status", headers,
         "[" .. table.concat(changes, ",") .. "]")
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end
