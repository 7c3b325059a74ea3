;; A call in a `try_table` is the call outside of one: nothing is done to enter or leave the block.
;; The function saves all registers that calls keep, since the code that catches finds none of its
;; own in them, and holds in its frame what is used behind the call.
(module
  (import "host" "work" (func $work (param i32) (result i32)))
  (tag $oops (param i32))
  (func $outside (param i32) (result i32)
    block $caught (result i32)
      block (result i32)
        local.get 0
        call $work
      end
      local.get 0
      i32.add
    end)
  (func $inside (param i32) (result i32)
    block $caught (result i32)
      try_table (result i32) (catch $oops $caught)
        local.get 0
        call $work
      end
      local.get 0
      i32.add
    end)
  (func $outside_all (param i32)
    block $caught
      block
        local.get 0
        call $work
        drop
      end
    end)
  (func $inside_all (param i32)
    block $caught
      try_table (catch_all $caught)
        local.get 0
        call $work
        drop
      end
    end))

;;; baseline: function 1 `outside`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x10
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;; call $work
;;;         mov r11, [r15+8]
;;;         mov [r11+0x10], r15
;;;         mov esi, [rbp-0x10]
;;;         mov rdi, [r15+0x48]
;;;         mov rax, [r15+0x40]
;;;         call qword ptr [rax] ; calls $work
;;;         mov eax, eax
;;; i32.add
;;;         add eax, [rbp-0x10]
;;; end
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; baseline: function 2 `inside`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x40
;;;         cmp rsp, [r11]
;;;         jb L2
;;;         mov [rbp-8], rbx
;;;         mov [rbp-0x10], r12
;;;         mov [rbp-0x18], r13
;;;         mov [rbp-0x20], r14
;;;         mov [rbp-0x28], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x30], rdi
;;;         mov [rbp-0x38], esi
;;; call $work
;;;         mov r11, [r15+8]
;;;         mov [r11+0x10], r15
;;;         mov esi, [rbp-0x38]
;;;         mov rdi, [r15+0x48]
;;;         mov rax, [r15+0x40]
;;;         call qword ptr [rax] ; calls $work
;;;         mov eax, eax
;;; i32.add
;;;         add eax, [rbp-0x38]
;;; end
;;;     L0: mov rbx, [rbp-8]
;;;         mov r12, [rbp-0x10]
;;;         mov r13, [rbp-0x18]
;;;         mov r14, [rbp-0x20]
;;;         mov r15, [rbp-0x28]
;;;         leave
;;;         ret
;;; try_table (result i32) (catch $oops $caught) ;; label = @2
;;;         mov r11, rdx
;;;         mov r15, [rbp-0x30]
;;;         mov rax, [r15+0x50]
;;;         cmp rax, [r11]
;;;         jne L1
;;;         mov eax, [r11+0x10]
;;;         jmp short L0
;;;     L1: ud2 ; trap: unreachable
;;; -
;;;     L2: ud2 ; trap: call stack exhausted

;;; baseline: function 3 `outside_all`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x10
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;; call $work
;;;         mov r11, [r15+8]
;;;         mov [r11+0x10], r15
;;;         mov esi, [rbp-0x10]
;;;         mov rdi, [r15+0x48]
;;;         mov rax, [r15+0x40]
;;;         call qword ptr [rax] ; calls $work
;;;         mov eax, eax
;;; end
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; baseline: function 4 `inside_all`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x40
;;;         cmp rsp, [r11]
;;;         jb L1
;;;         mov [rbp-8], rbx
;;;         mov [rbp-0x10], r12
;;;         mov [rbp-0x18], r13
;;;         mov [rbp-0x20], r14
;;;         mov [rbp-0x28], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x30], rdi
;;;         mov [rbp-0x38], esi
;;; call $work
;;;         mov r11, [r15+8]
;;;         mov [r11+0x10], r15
;;;         mov esi, [rbp-0x38]
;;;         mov rdi, [r15+0x48]
;;;         mov rax, [r15+0x40]
;;;         call qword ptr [rax] ; calls $work
;;;         mov eax, eax
;;; end
;;;     L0: mov rbx, [rbp-8]
;;;         mov r12, [rbp-0x10]
;;;         mov r13, [rbp-0x18]
;;;         mov r14, [rbp-0x20]
;;;         mov r15, [rbp-0x28]
;;;         leave
;;;         ret
;;; try_table (catch_all $caught) ;; label = @2
;;;         mov r11, rdx
;;;         mov r15, [rbp-0x30]
;;;         jmp short L0
;;;         ud2 ; trap: unreachable
;;; -
;;;     L1: ud2 ; trap: call stack exhausted

;;; optimizing: function 1 `outside`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x20
;;;         cmp r10, rsp
;;;         ja L0
;;;         sub rsp, 0x10
;;;         mov [rsp], r14
;;;         mov r8, [rdi+0x40]
;;; call $work
;;;         mov r8, [r8]
;;; -
;;;         mov r9, [rdi+8]
;;; call $work
;;;         mov [r9+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;;         mov r14, rsi
;;; call $work
;;;         call r8 ; calls $work
;;; i32.add
;;;         add eax, r14d
;;; end
;;;         mov r14, [rsp]
;;;         add rsp, 0x10
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 2 `inside`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x60
;;;         cmp r10, rsp
;;;         ja L2
;;;         sub rsp, 0x50
;;;         mov [rsp+0x20], rbx
;;;         mov [rsp+0x28], r12
;;;         mov [rsp+0x30], r13
;;;         mov [rsp+0x38], r14
;;;         mov [rsp+0x40], r15
;;;         mov [rsp+0x10], rsi
;;;         mov [rsp], rdi
;;;         mov rax, [rdi+0x40]
;;; call $work
;;;         mov rcx, [rax]
;;; -
;;;         mov rax, [rdi+8]
;;; call $work
;;;         mov [rax+0x10], rdi
;;;         mov rax, rdi
;;; -
;;;         mov rdi, [rax+0x48]
;;;         mov [rsp+8], rax
;;; call $work
;;;         call rcx ; calls $work
;;; -
;;;         mov rsi, [rsp+0x10]
;;; i32.add
;;;         add eax, esi
;;; end
;;;         jmp L1
;;; end
;;;     L0: mov eax, [rdx+0x10]
;;; end
;;;     L1: mov rbx, [rsp+0x20]
;;;         mov r12, [rsp+0x28]
;;;         mov r13, [rsp+0x30]
;;;         mov r14, [rsp+0x38]
;;;         mov r15, [rsp+0x40]
;;;         add rsp, 0x50
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; end
;;;         mov rax, [rdx]
;;;         mov rdi, [rsp+8]
;;; -
;;;         mov rcx, [rdi+0x50]
;;; end
;;;         cmp rax, rcx
;;;         je L0
;;;         ud2 ; trap: unreachable
;;; -
;;;     L2: ud2 ; trap: call stack exhausted

;;; optimizing: function 3 `outside_all`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L0
;;;         mov r8, [rdi+0x40]
;;; call $work
;;;         mov r8, [r8]
;;; -
;;;         mov r9, [rdi+8]
;;; call $work
;;;         mov [r9+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $work
;;;         call r8 ; calls $work
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 4 `inside_all`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x50
;;;         cmp r10, rsp
;;;         ja L1
;;;         sub rsp, 0x40
;;;         mov [rsp+0x10], rbx
;;;         mov [rsp+0x18], r12
;;;         mov [rsp+0x20], r13
;;;         mov [rsp+0x28], r14
;;;         mov [rsp+0x30], r15
;;;         mov [rsp], rdi
;;;         mov rax, [rdi+0x40]
;;; call $work
;;;         mov rax, [rax]
;;; -
;;;         mov rcx, [rdi+8]
;;; call $work
;;;         mov [rcx+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $work
;;;         call rax ; calls $work
;;; end
;;;     L0: mov rbx, [rsp+0x10]
;;;         mov r12, [rsp+0x18]
;;;         mov r13, [rsp+0x20]
;;;         mov r14, [rsp+0x28]
;;;         mov r15, [rsp+0x30]
;;;         add rsp, 0x40
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; end
;;;         jmp L0
;;; -
;;;     L1: ud2 ; trap: call stack exhausted
