# How a thread begins: its stack is in the first word of what it was started with.
	.globaltype	__stack_pointer, i32
	.functype	run_thread (i32, i32) -> ()
	.export_name	wasi_thread_start, wasi_thread_start
	.globl	wasi_thread_start
	.type	wasi_thread_start,@function
wasi_thread_start:
	.functype	wasi_thread_start (i32, i32) -> ()
	local.get 1
	i32.load 0
	global.set __stack_pointer
	local.get 0
	local.get 1
	call run_thread
	end_function
