;; What a hint calls unlikely stands behind the code of the function's usual way. The label of a
;; `br_if` may be reached otherwise too and stays where it is: only the way to it is behind.
;;! tiers = optimizing
(module
  (import "host" "rare" (func $rare (result i32)))
  (func $if_plain (param i32) (result i32)
    local.get 0
    if (result i32)
      call $rare
    else
      i32.const 1
    end)
  (func $if_unlikely (param i32) (result i32)
    local.get 0
    (@metadata.code.branch_hint "\00") if (result i32)
      call $rare
    else
      i32.const 1
    end)
  (func $if_likely (param i32) (result i32)
    local.get 0
    (@metadata.code.branch_hint "\01") if (result i32)
      i32.const 1
    else
      call $rare
    end)
  (func $else_plain (param i32) (result i32)
    local.get 0
    if (result i32)
      i32.const 1
    else
      call $rare
    end)
  (func $br_plain (param i32) (result i32)
    block $out
      local.get 0
      br_if $out
      call $rare
      return
    end
    i32.const 1)
  (func $br_unlikely (param i32) (result i32)
    block $out
      local.get 0
      (@metadata.code.branch_hint "\00") br_if $out
      call $rare
      return
    end
    i32.const 1)
  (func $br_likely (param i32) (result i32)
    block $out
      local.get 0
      (@metadata.code.branch_hint "\01") br_if $out
      call $rare
      return
    end
    i32.const 1))

;;; optimizing: function 1 `if_plain`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L2
;;; if (result i32) ;; label = @1
;;;         test esi, esi
;;;         jne L0
;;; i32.const 1
;;;         mov eax, 1
;;; end
;;;         jmp L1
;;; -
;;;     L0: mov rax, [rdi+0x40]
;;; call $rare
;;;         mov rax, [rax]
;;; -
;;;         mov rcx, [rdi+8]
;;; call $rare
;;;         mov [rcx+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $rare
;;;         call rax ; calls $rare
;;; end
;;;     L1: mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L2: ud2 ; trap: call stack exhausted

;;; optimizing: function 2 `if_unlikely`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L2
;;; if (result i32) ;; label = @1
;;;         test esi, esi
;;;         jne L1
;;; i32.const 1
;;;         mov eax, 1
;;; end
;;;     L0: mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L1: mov rax, [rdi+0x40]
;;; call $rare
;;;         mov rax, [rax]
;;; -
;;;         mov rcx, [rdi+8]
;;; call $rare
;;;         mov [rcx+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $rare
;;;         call rax ; calls $rare
;;; else
;;;         jmp L0
;;; -
;;;     L2: ud2 ; trap: call stack exhausted

;;; optimizing: function 3 `if_likely`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L2
;;; if (result i32) ;; label = @1
;;;         test esi, esi
;;;         je L1
;;; i32.const 1
;;;         mov eax, 1
;;; end
;;;     L0: mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L1: mov r11, [rdi+0x40]
;;; call $rare
;;;         mov r11, [r11]
;;; -
;;;         mov rax, [rdi+8]
;;; call $rare
;;;         mov [rax+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $rare
;;;         call r11 ; calls $rare
;;; end
;;;         jmp L0
;;; -
;;;     L2: ud2 ; trap: call stack exhausted

;;; optimizing: function 4 `else_plain`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L2
;;; if (result i32) ;; label = @1
;;;         test esi, esi
;;;         jne L0
;;; -
;;;         mov r11, [rdi+0x40]
;;; call $rare
;;;         mov r11, [r11]
;;; -
;;;         mov rax, [rdi+8]
;;; call $rare
;;;         mov [rax+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $rare
;;;         call r11 ; calls $rare
;;; end
;;;         jmp L1
;;; i32.const 1
;;;     L0: mov eax, 1
;;; end
;;;     L1: mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L2: ud2 ; trap: call stack exhausted

;;; optimizing: function 5 `br_plain`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L1
;;; br_if $out
;;;         test esi, esi
;;;         jne L0
;;; -
;;;         mov r10, [rdi+0x40]
;;; call $rare
;;;         mov r10, [r10]
;;; -
;;;         mov r11, [rdi+8]
;;; call $rare
;;;         mov [r11+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $rare
;;;         call r10 ; calls $rare
;;; return
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; i32.const 1
;;;     L0: mov eax, 1
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L1: ud2 ; trap: call stack exhausted

;;; optimizing: function 6 `br_unlikely`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L1
;;; br_if $out
;;;         test esi, esi
;;;         jne L0
;;; -
;;;         mov r10, [rdi+0x40]
;;; call $rare
;;;         mov r10, [r10]
;;; -
;;;         mov r11, [rdi+8]
;;; call $rare
;;;         mov [r11+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $rare
;;;         call r10 ; calls $rare
;;; return
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; i32.const 1
;;;     L0: mov eax, 1
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; br_if $out
;;;         jmp L0
;;; -
;;;     L1: ud2 ; trap: call stack exhausted

;;; optimizing: function 7 `br_likely`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L1
;;; br_if $out
;;;         test esi, esi
;;;         je L0
;;; i32.const 1
;;;         mov eax, 1
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: mov r10, [rdi+0x40]
;;; call $rare
;;;         mov r10, [r10]
;;; -
;;;         mov r11, [rdi+8]
;;; call $rare
;;;         mov [r11+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $rare
;;;         call r10 ; calls $rare
;;; return
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L1: ud2 ; trap: call stack exhausted
