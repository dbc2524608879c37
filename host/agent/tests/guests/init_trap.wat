(func (export "lightmon:plugin/filter@0.1.0#init") (param i32 i32) (result i32) (unreachable))
