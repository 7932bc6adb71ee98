-- A session that comes while no node takes sessions waits for one, at most so many milliseconds:
-- a writer that is just being moved, or a failed one whose successor is not known yet, refuses nobody.
local limit = tonumber((...)) or 3000

core.register_action("galerist_wait", { "tcp-req" }, function(txn)
    local waited = 0
    while waited < limit and txn.f:nbsrv("write") < 1 do
        core.msleep(10)
        waited = waited + 10
    end
end)
