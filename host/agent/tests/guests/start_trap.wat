;; Traps in the start function.
(start $start)
(func $start (unreachable))
