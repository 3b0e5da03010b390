-- SPDX-License-Identifier: MIT
-- What wrk does for bench/load.py: sends one fixed request (then wrk needs no Lua while it runs),
-- or each target of the file that is named behind "--" once, and then nothing until the time is
-- over; prints its figures as one line of JSON. Several threads would each send all targets.

local targets = {}
local at = 0

local function send_next()
   at = at + 1
   if at > #targets then
      wrk.thread:stop()
   end
   return wrk.format(nil, targets[math.min(at, #targets)])
end

function init(args)
   if args[1] == nil then
      return
   end
   for line in io.lines(args[1]) do
      targets[#targets + 1] = line
   end
   request = send_next
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'figures {"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, ' ..
      '"p50_us": %d, "p99_us": %d, "max_us": %d}\n',
      summary.requests, summary.duration, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
