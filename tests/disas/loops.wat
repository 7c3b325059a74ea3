(module
  (func $sum (param $n i32) (result i32) (local $i i32) (local $sum i32)
    loop $again
      local.get $sum
      local.get $i
      i32.add
      local.set $sum
      local.get $i
      i32.const 1
      i32.add
      local.tee $i
      local.get $n
      i32.lt_u
      br_if $again
    end
    local.get $sum))

;;; baseline: function 0 `sum`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r9d, esi
;;;         xor r8d, r8d
;;;         xor r10d, r10d
;;; i32.add
;;;     L0: add r10d, r8d
;;; i32.add
;;;         add r8d, 1
;;; i32.lt_u
;;;         cmp r8d, r9d
;;; br_if $again
;;;         jb short L0
;;; end
;;;         mov eax, r10d
;;;         leave
;;;         ret

;;; optimizing: function 0 `sum`
;;;         push rbp
;;;         mov rbp, rsp
;;;         xor eax, eax
;;;         mov rdi, rax
;;;     L0: lea r8d, [rdi+1]
;;; i32.add
;;;         add eax, edi
;;; br_if $again
;;;         cmp r8d, esi
;;;         jae L1
;;; -
;;;         mov rdi, r8
;;;         jmp L0
;;; end
;;;     L1: mov rsp, rbp
;;;         pop rbp
;;;         ret
