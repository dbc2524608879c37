;; Loops forever in the start function.
(func $start (loop $ever (br $ever)))
(start $start)
