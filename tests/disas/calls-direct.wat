(module
  (func $add (param i32 i32) (result i32)
    local.get 0
    local.get 1
    i32.add)
  (func $twice (param i32) (result i32)
    local.get 0
    local.get 0
    call $add
    i32.const 7
    call $add)
  (func $many (param i64) (result i64)
    local.get 0
    i64.const 1
    i64.const 2
    i64.const 3
    i64.const 4
    i64.const 5
    i64.const 6
    call $wide)
  (func $wide (param i64 i64 i64 i64 i64 i64 i64) (result i64)
    local.get 5
    local.get 6
    i64.sub))

;;; baseline: function 0 `add`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10d, edx
;;; i32.add
;;;         lea eax, [r8+r10]
;;; end
;;;         leave
;;;         ret

;;; baseline: function 1 `twice`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x10
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;; call $add
;;;         mov esi, [rbp-0x10]
;;;         mov edx, [rbp-0x10]
;;;         mov rdi, r15
;;;         call qword ptr [rip+slot of add]
;;;         mov eax, eax
;;; call $add
;;;         mov esi, eax
;;;         mov edx, 7
;;;         mov rdi, r15
;;;         call qword ptr [rip+slot of add]
;;;         mov eax, eax
;;; end
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; baseline: function 2 `many`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x20
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], rsi
;;; call $wide
;;;         mov qword ptr [rsp], 5
;;;         mov qword ptr [rsp+8], 6
;;;         mov rsi, [rbp-0x10]
;;;         mov edx, 1
;;;         mov ecx, 2
;;;         mov r8d, 3
;;;         mov r9d, 4
;;;         mov rdi, r15
;;;         call qword ptr [rip+slot of wide]
;;;         sub rsp, 0x10
;;; end
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; baseline: function 3 `wide`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x30
;;;         mov [rbp-0x10], rsi
;;;         mov [rbp-0x18], rdx
;;;         mov [rbp-0x20], rcx
;;;         mov [rbp-0x28], r8
;;;         mov [rbp-0x30], r9
;;;         mov r8, [rbp+0x10]
;;;         mov r10, [rbp+0x18]
;;; i64.sub
;;;         mov rax, r8
;;;         sub rax, r10
;;; end
;;;         leave
;;;         ret 0x10

;;; optimizing: function 0 `add`
;;;         push rbp
;;;         mov rbp, rsp
;;; i32.add
;;;         lea eax, [rsi+rdx]
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 1 `twice`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x20
;;;         cmp r10, rsp
;;;         ja L0
;;;         sub rsp, 0x10
;;;         mov [rsp], r12
;;;         mov r12, rdi
;;; call $add
;;;         mov r8, [rip+slot of add]
;;;         mov rdx, rsi
;;;         call r8 ; calls $add
;;; i32.const 7
;;;         mov edx, 7
;;; call $add
;;;         mov r8, [rip+slot of add]
;;;         mov rsi, rax
;;;         mov rdi, r12
;;;         call r8 ; calls $add
;;; end
;;;         mov r12, [rsp]
;;;         add rsp, 0x10
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 2 `many`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x20
;;;         cmp r10, rsp
;;;         ja L0
;;;         sub rsp, 0x10
;;; i64.const 1
;;;         mov edx, 1
;;; i64.const 2
;;;         mov ecx, 2
;;; i64.const 3
;;;         mov r8d, 3
;;; i64.const 4
;;;         mov r9d, 4
;;; i64.const 5
;;;         mov r10d, 5
;;; i64.const 6
;;;         mov r11d, 6
;;; call $wide
;;;         mov [rsp], r10
;;;         mov [rsp+8], r11
;;;         mov rax, [rip+slot of wide]
;;;         call rax ; calls $wide
;;;         sub rsp, 0x10
;;; end
;;;         add rsp, 0x10
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 3 `wide`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rax, [rbp+0x10]
;;;         mov rdx, [rbp+0x18]
;;; i64.sub
;;;         sub rax, rdx
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret 0x10
