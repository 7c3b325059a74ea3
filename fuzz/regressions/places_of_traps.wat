;; An `unreachable` that a branch leads to: the optimizing tier said of the trap that it was the
;; branch's.
(module
  (func $if (export "if") (param i32)
    local.get 0
    if
      unreachable
    end)
  (func (export "else") (param i32) (result i32)
    local.get 0
    if (result i32)
      i32.const 1
    else
      unreachable
    end)
  (func (export "br_if") (param i32)
    block
      local.get 0
      br_if 0
      unreachable
    end)
  (func (export "br_table") (param i32)
    block
      block
        local.get 0
        br_table 0 1
      end
      unreachable
    end)
  (func (export "caller") (param i32) (result i32)
    local.get 0
    call $if
    local.get 0
    i32.eqz
    call $if
    i32.const 1))
