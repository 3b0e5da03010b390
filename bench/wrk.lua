-- SPDX-License-Identifier: MIT
-- What wrk does for bench/generators.py: sends one fixed request (then wrk needs no Lua while it
-- runs), or the targets of a file, each of them once (and then nothing more), or at random without
-- end; prints its figures as one line of JSON. Several threads would each send all targets once.
-- By hand, on the fleet of `./dev run`:
--
--     wrk -t1 -c64 -d5s -s bench/wrk.lua 'http://127.0.0.1:8080/v1/availability?limit=20'
--     wrk -t1 -c64 -d5s -s bench/wrk.lua http://127.0.0.1:8080 -- FILE random

dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "figures.lua")

local requests = {}
local at = 0

local function send_next()
   at = at + 1
   if at > #requests then
      wrk.thread:stop()
   end
   return requests[math.min(at, #requests)]
end

local function send_any()
   return requests[math.random(#requests)]
end

function init(args)
   if args[1] == nil then
      return
   end
   for line in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format(nil, line)
   end
   math.randomseed(os.time())
   request = args[2] == "random" and send_any or send_next
end
