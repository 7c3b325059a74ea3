(module
  (func $signed (param i32 i32) (result i32)
    local.get 0
    local.get 1
    i32.lt_s
    if (result i32)
      i32.const 10
    else
      i32.const 20
    end)
  (func $constant (param i64)
    block $out
      local.get 0
      i64.const 100
      i64.gt_u
      br_if $out
      unreachable
    end)
  (func $zero (param i32)
    block $out
      local.get 0
      i32.eqz
      br_if $out
      unreachable
    end)
  (func $float (param f64 f64)
    block $out
      local.get 0
      local.get 1
      f64.lt
      br_if $out
      unreachable
    end)
  (func $float_equal (param f32 f32)
    block $out
      local.get 0
      local.get 1
      f32.eq
      br_if $out
      unreachable
    end)
  (func $select (param i32 i64 i64) (result i64)
    local.get 1
    local.get 2
    local.get 0
    i32.const 5
    i32.ge_s
    select))

;;; baseline: function 0 `signed`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10d, edx
;;; i32.lt_s
;;;         cmp r8d, r10d
;;; if (result i32) ;; label = @1
;;;         jge L0
;;; else
;;;         mov eax, 0xa
;;;         jmp L1
;;; end
;;;     L0: mov eax, 0x14
;;; end
;;;     L1: leave
;;;         ret

;;; baseline: function 1 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8, rsi
;;; i64.gt_u
;;;         cmp r8, 0x64
;;; br_if $out
;;;         ja L0
;;; unreachable
;;;         ud2 ; trap: unreachable
;;; end
;;;     L0: leave
;;;         ret

;;; baseline: function 2 `zero`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; i32.eqz
;;;         test r8d, r8d
;;; br_if $out
;;;         je L0
;;; unreachable
;;;         ud2 ; trap: unreachable
;;; end
;;;     L0: leave
;;;         ret

;;; baseline: function 3 `float`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         movaps xmm8, xmm0
;;;         movaps xmm9, xmm1
;;; f64.lt
;;;         ucomisd xmm9, xmm8
;;; br_if $out
;;;         ja L0
;;; unreachable
;;;         ud2 ; trap: unreachable
;;; end
;;;     L0: leave
;;;         ret

;;; baseline: function 4 `float_equal`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         movaps xmm8, xmm0
;;;         movaps xmm9, xmm1
;;; f32.eq
;;;         ucomiss xmm8, xmm9
;;; br_if $out
;;;         jp short L0
;;;         je L1
;;; unreachable
;;;     L0: ud2 ; trap: unreachable
;;; end
;;;     L1: leave
;;;         ret

;;; baseline: function 5 `select`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r9, rcx
;;;         mov r10, rdx
;;; i32.ge_s
;;;         cmp r8d, 5
;;; select
;;;         mov rax, r10
;;;         cmovl rax, r9
;;; end
;;;         leave
;;;         ret

;;; optimizing: function 0 `signed`
;;;         push rbp
;;;         mov rbp, rsp
;;; if (result i32) ;; label = @1
;;;         cmp esi, edx
;;;         jl L0
;;; i32.const 20
;;;         mov eax, 0x14
;;; end
;;;         jmp L1
;;; i32.const 10
;;;     L0: mov eax, 0xa
;;; end
;;;     L1: mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 1 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;; br_if $out
;;;         cmp rsi, 0x64
;;;         jbe L0
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; unreachable
;;;     L0: ud2 ; trap: unreachable

;;; optimizing: function 2 `zero`
;;;         push rbp
;;;         mov rbp, rsp
;;; br_if $out
;;;         test esi, esi
;;;         jne L0
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; unreachable
;;;     L0: ud2 ; trap: unreachable

;;; optimizing: function 3 `float`
;;;         push rbp
;;;         mov rbp, rsp
;;; br_if $out
;;;         ucomisd xmm1, xmm0
;;;         jbe L0
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; unreachable
;;;     L0: ud2 ; trap: unreachable

;;; optimizing: function 4 `float_equal`
;;;         push rbp
;;;         mov rbp, rsp
;;; br_if $out
;;;         ucomiss xmm0, xmm1
;;;         jp L0
;;;         jne L0
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; unreachable
;;;     L0: ud2 ; trap: unreachable

;;; optimizing: function 5 `select`
;;;         push rbp
;;;         mov rbp, rsp
;;;         cmp esi, 5
;;;         mov rax, rcx
;;;         cmovge rax, rdx
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
