-- Sends signed events from a file, each once: a line has the signature, a tab, and the body.
-- After `--`: the file, and for less than full load how many a second. They come at random moments, whether or not those
-- before them are answered, for as long as a connection is free; what is late then is sent at once.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } moment; int clock_gettime(int clock, moment *into);")

local events, rate, next_one
local clock = ffi.new("moment")
local headers = { ["Content-Type"] = "application/json" }

local function now()
  ffi.C.clock_gettime(0, clock)
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

function init(args)
  events = assert(io.open(args[1]))
  rate = tonumber(args[2])
  if not rate then
    delay = nil
  end
end

function request()
  local line = assert(events:read("*l"), "there are not enough events in the file")
  local tab = line:find("\t", 1, true)
  headers["X-Lender-Signature"] = line:sub(1, tab - 1)
  return wrk.format("POST", nil, headers, line:sub(tab + 1))
end

function delay()
  next_one = (next_one or now()) - math.log(1 - math.random()) / rate
  return math.max(0, (next_one - now()) * 1000)
end
