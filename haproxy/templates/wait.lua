-- A session that comes while no node takes sessions waits for one, at most so many milliseconds:
-- a writer that is just being moved, or a failed one whose successor is not known yet, refuses nobody.
local limit = tonumber((...)) or 3000

core.register_action("galerist_wait", { "tcp-req" }, function(txn)
    local waited = 0
    while waited < limit and txn.f:nbsrv("write") < 1 do
        -- A move that nobody need wait for takes milliseconds; thousands that wait longer must not keep HAProxy busy.
        local pause = waited < 20 and 2 or 10
        -- The yield brings HAProxy's clock up to date. Of a pause that is over by the time it is noted, as on a busy
        -- machine, HAProxy 2.6 never wakes: the session would hang for all of the inspect-delay.
        core.yield()
        core.msleep(pause)
        waited = waited + pause
    end
end)
