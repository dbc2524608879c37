;; Traps before any function is called.
(func $start (unreachable))
(start $start)
