-- Sends signed events from a file, each once: a line has the signature, a tab, and the body.
-- After `--`: the file, and for less than full load the mean pause of a connection in milliseconds.
local events, pause
local headers = { ["Content-Type"] = "application/json" }

function init(args)
  events = assert(io.open(args[1]))
  pause = tonumber(args[2])
  if not pause then
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
  return math.random() * 2 * pause
end
