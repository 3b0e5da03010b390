-- SPDX-License-Identifier: MIT
-- Writes without end: a PATCH of one of the first machines after the other; how many there are is
-- the argument behind "--". Prints its figures as wrk.lua does.

local machines = 1
local count = 0

function init(args)
   machines = tonumber(args[1])
   math.randomseed(os.time())
   wrk.method = "PATCH"
   wrk.headers["Content-Type"] = "application/merge-patch+json"
end

function request()
   count = count + 1
   local target = "/v1/machines/" .. math.random(machines)
   return wrk.format(nil, target, nil, '{"label":"L' .. count .. '"}')
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
