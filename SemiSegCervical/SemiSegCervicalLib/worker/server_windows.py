"""Windows only: children that end with the worker, its priority and its input. From the documentation, never run."""

from __future__ import annotations

import sys
from typing import Any

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _EXTENDED_LIMIT_INFORMATION = 9
    _KILL_ON_JOB_CLOSE = 0x2000
    _BELOW_NORMAL_PRIORITY = 0x4000
    _STANDARD_INPUT = -10 & 0xFFFFFFFF

    class _BasicLimits(ctypes.Structure):
        _fields_ = (
            ("PerProcessUserTimeLimit", ctypes.c_int64),
            ("PerJobUserTimeLimit", ctypes.c_int64),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        )

    class _ExtendedLimits(ctypes.Structure):
        _fields_ = (
            ("BasicLimitInformation", _BasicLimits),
            ("IoInfo", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        )

    def _kernel() -> Any:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.CreateJobObjectW.restype = wintypes.HANDLE
        kernel.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
        kernel.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD)
        kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
        kernel.SetPriorityClass.argtypes = (wintypes.HANDLE, wintypes.DWORD)
        kernel.SetStdHandle.argtypes = (wintypes.DWORD, wintypes.HANDLE)
        return kernel

    def end_children_with_me() -> None:
        """Put this process into a job whose only handle it holds: when it ends, the system ends all in the job."""
        kernel = _kernel()
        job = kernel.CreateJobObjectW(None, None)
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
        done = bool(job) and kernel.SetInformationJobObject(
            job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        )
        # The handle is never closed: that is what the system does at the end of this process.
        if not done or not kernel.AssignProcessToJobObject(job, kernel.GetCurrentProcess()):
            print(f"no job object: Windows error {ctypes.get_last_error()}", file=sys.stderr)

    def lower_priority() -> None:
        """Give this process the priority class below the normal one."""
        kernel = _kernel()
        if not kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL_PRIORITY):
            print(f"priority unchanged: Windows error {ctypes.get_last_error()}", file=sys.stderr)

    def publish_standard_input() -> None:
        """Have the system name what descriptor 0 is now as standard input; libraries with a C run time of their own ask
        the system, and Python's own tells it in programs with a console only.
        """
        if not _kernel().SetStdHandle(_STANDARD_INPUT, msvcrt.get_osfhandle(0)):
            print(f"standard input unchanged: Windows error {ctypes.get_last_error()}", file=sys.stderr)
