(module
  (func $deep (param i32) (result i32)
    local.get 0
    i32.const 3
    i32.mul
    local.get 0
    i32.const 5
    i32.mul
    local.get 0
    i32.const 7
    i32.mul
    local.get 0
    i32.const 9
    i32.mul
    local.get 0
    i32.const 11
    i32.mul
    local.get 0
    i32.const 13
    i32.mul
    local.get 0
    i32.const 15
    i32.mul
    local.get 0
    i32.const 17
    i32.mul
    local.get 0
    i32.const 19
    i32.mul
    local.get 0
    i32.const 21
    i32.mul
    local.get 0
    i32.const 23
    i32.mul
    local.get 0
    i32.const 25
    i32.mul
    i32.xor
    i32.xor
    i32.xor
    i32.xor
    i32.xor
    i32.xor
    i32.xor
    i32.xor
    i32.xor
    i32.xor
    i32.xor
  )
  (func $around_a_call (param i32) (result i32)
    local.get 0
    i32.const 3
    i32.mul
    local.get 0
    call $deep
    i32.sub))

;;; baseline: function 0 `deep`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x50
;;;         mov r8d, esi
;;; i32.mul
;;;         imul eax, r8d, 3
;;; i32.mul
;;;         imul ecx, r8d, 5
;;; i32.mul
;;;         imul edx, r8d, 7
;;; i32.mul
;;;         imul esi, r8d, 9
;;; i32.mul
;;;         mov [rbp-0x18], eax
;;;         imul eax, r8d, 0xb
;;; i32.mul
;;;         mov [rbp-0x20], ecx
;;;         imul ecx, r8d, 0xd
;;; i32.mul
;;;         mov [rbp-0x28], edx
;;;         imul edx, r8d, 0xf
;;; i32.mul
;;;         mov [rbp-0x30], esi
;;;         imul esi, r8d, 0x11
;;; i32.mul
;;;         mov [rbp-0x38], eax
;;;         imul eax, r8d, 0x13
;;; i32.mul
;;;         mov [rbp-0x40], ecx
;;;         imul ecx, r8d, 0x15
;;; i32.mul
;;;         mov [rbp-0x48], edx
;;;         imul edx, r8d, 0x17
;;; i32.mul
;;;         mov [rbp-0x50], esi
;;;         imul esi, r8d, 0x19
;;; i32.xor
;;;         xor edx, esi
;;; i32.xor
;;;         xor ecx, edx
;;; i32.xor
;;;         xor eax, ecx
;;; i32.xor
;;;         xor eax, [rbp-0x50]
;;; i32.xor
;;;         xor eax, [rbp-0x48]
;;; i32.xor
;;;         xor eax, [rbp-0x40]
;;; i32.xor
;;;         xor eax, [rbp-0x38]
;;; i32.xor
;;;         xor eax, [rbp-0x30]
;;; i32.xor
;;;         xor eax, [rbp-0x28]
;;; i32.xor
;;;         xor eax, [rbp-0x20]
;;; i32.xor
;;;         xor eax, [rbp-0x18]
;;; end
;;;         leave
;;;         ret

;;; baseline: function 1 `around_a_call`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x20
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;; i32.mul
;;;         imul eax, [rbp-0x10], 3
;;; call $deep
;;;         mov [rbp-0x18], eax
;;;         mov esi, [rbp-0x10]
;;;         mov rdi, r15
;;;         call qword ptr [rip+slot of deep]
;;;         mov eax, eax
;;; i32.sub
;;;         mov ecx, [rbp-0x18]
;;;         sub ecx, eax
;;; end
;;;         mov eax, ecx
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 0 `deep`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x20
;;;         cmp r10, rsp
;;;         ja L0
;;;         sub rsp, 0x20
;;;         mov [rsp], rbx
;;;         mov [rsp+8], r12
;;;         mov [rsp+0x10], r13
;;; i32.mul
;;;         imul eax, esi, 3
;;; i32.mul
;;;         imul r9d, esi, 5
;;; i32.mul
;;;         imul edi, esi, 7
;;; i32.mul
;;;         imul r8d, esi, 9
;;; i32.mul
;;;         imul r10d, esi, 0xb
;;; i32.mul
;;;         imul ecx, esi, 0xd
;;; i32.mul
;;;         imul edx, esi, 0xf
;;; i32.mul
;;;         imul r11d, esi, 0x11
;;; i32.mul
;;;         imul ebx, esi, 0x13
;;; i32.mul
;;;         imul r12d, esi, 0x15
;;; i32.mul
;;;         imul r13d, esi, 0x17
;;; i32.mul
;;;         imul esi, 0x19
;;; i32.xor
;;;         xor r13d, esi
;;; i32.xor
;;;         xor r12d, r13d
;;; i32.xor
;;;         xor ebx, r12d
;;; i32.xor
;;;         xor r11d, ebx
;;; i32.xor
;;;         xor edx, r11d
;;; i32.xor
;;;         xor ecx, edx
;;; i32.xor
;;;         xor r10d, ecx
;;; i32.xor
;;;         xor r8d, r10d
;;; i32.xor
;;;         xor edi, r8d
;;; i32.xor
;;;         xor r9d, edi
;;; i32.xor
;;;         xor eax, r9d
;;; end
;;;         mov rbx, [rsp]
;;;         mov r12, [rsp+8]
;;;         mov r13, [rsp+0x10]
;;;         add rsp, 0x20
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 1 `around_a_call`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x20
;;;         cmp r10, rsp
;;;         ja L0
;;;         sub rsp, 0x10
;;;         mov [rsp], r12
;;; call $deep
;;;         mov r8, [rip+slot of deep]
;;;         mov r12, rsi
;;;         call r8 ; calls $deep
;;;         mov r9, rax
;;; i32.mul
;;;         imul eax, r12d, 3
;;;         mov rcx, r9
;;; i32.sub
;;;         sub eax, ecx
;;; end
;;;         mov r12, [rsp]
;;;         add rsp, 0x10
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted
