-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- Paces wrk (LAB_DELAY ms between a connection's requests) and appends "MONOTONIC_NS ANSWERED" to LAB_FILE every
-- 100 ms, so that the lab knows when a request was answered and not only how many were.
local ffi = require("ffi")
ffi.cdef [[
struct lab_timespec { long sec; long nsec; };
int clock_gettime(int clock, struct lab_timespec *now);
]]

local now = ffi.new("struct lab_timespec")
local pause = tonumber(os.getenv("LAB_DELAY") or "100")
local file, slot, count

local function tenth()
    ffi.C.clock_gettime(1, now)
    return tonumber(now.sec) * 10 + math.floor(tonumber(now.nsec) / 1e8)
end

function init(args)
    math.randomseed(os.time())
    file = assert(io.open(os.getenv("LAB_FILE"), "a"))
    slot, count = tenth(), 0
    if os.getenv("LAB_CLOSE") then wrk.headers["Connection"] = "close" end
end

function delay()
    return math.floor(pause * (0.5 + math.random()))
end

function response(status)
    local current = tenth()
    if current ~= slot then
        file:write(string.format("%d00000000 %d\n", slot, count))
        file:flush()
        slot, count = current, 0
    end
    if status == 200 then count = count + 1 end
end
