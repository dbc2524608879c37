;; Loops before any function is called.
(func $start (loop $ever (br $ever)))
(start $start)
