"""The tokenizer of build/liblm.so through ctypes: many texts in one process, which the program cannot do."""
import ctypes
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOS, EOS, SPECIAL, ALLOW_SPECIAL = 1, 2, 3, 4            # enum of token/tokenizer.h
SKIP_SPECIAL = 1


class Err(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 1000)]


class Ids(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_int32)), ("len", ctypes.c_size_t), ("cap", ctypes.c_size_t),
                ("replaced", ctypes.c_size_t)]


class Str(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("len", ctypes.c_size_t), ("cap", ctypes.c_size_t)]


class Refused(Exception):
    """What an lm_err says."""


def library():
    program = pathlib.Path(os.environ.get("MALMOI", ROOT / "build/malmoi")).resolve()
    lib = ctypes.CDLL(str(program.parent / "liblm.so"))
    p, size = ctypes.c_void_p, ctypes.c_size_t
    for name, result, arguments in [
        ("lm_tokenizer_load", ctypes.c_int, [ctypes.POINTER(p), ctypes.c_char_p, p]),
        ("lm_tokenizer_save", ctypes.c_int, [p, ctypes.c_char_p, p]),
        ("lm_tokenizer_free", None, [p]),
        ("lm_encoder_new", p, [p]),
        ("lm_encoder_free", None, [p]),
        ("lm_encoder_run", ctypes.c_int, [p, p, ctypes.c_char_p, size, ctypes.c_uint, p]),
        ("lm_decode", ctypes.c_int, [p, p, p, size, ctypes.c_uint, p]),
        ("lm_tokenizer_vocab_size", ctypes.c_int, [p]),
        ("lm_ids_free", None, [p]),
        ("lm_str_free", None, [p]),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Tokenizer:
    """A tokenizer that malmoi loaded from a folder or a file."""
    lib = None

    def __init__(self, path):
        if Tokenizer.lib is None:
            Tokenizer.lib = library()
        self.err, self.ids, self.str = Err(), Ids(), Str()
        self.tk, self.encoder = ctypes.c_void_p(), None
        self.check(self.lib.lm_tokenizer_load(ctypes.byref(self.tk), os.fsencode(path), ctypes.byref(self.err)))
        self.encoder = self.lib.lm_encoder_new(self.tk)

    def __del__(self):
        if self.encoder:
            self.lib.lm_encoder_free(self.encoder)
        self.lib.lm_tokenizer_free(self.tk)
        self.lib.lm_ids_free(ctypes.byref(self.ids))
        self.lib.lm_str_free(ctypes.byref(self.str))

    def check(self, status):
        if status:
            message = self.err.message.decode()
            self.err.code = 0
            raise Refused(message)

    def encode(self, text, flags=0):
        data = text.encode() if isinstance(text, str) else text
        self.ids.len = 0
        self.check(self.lib.lm_encoder_run(self.encoder, ctypes.byref(self.ids), data, len(data), flags,
                                           ctypes.byref(self.err)))
        return self.ids.data[:self.ids.len] if self.ids.len else []

    def encode_batch(self, texts, flags=0):
        """The ids of many texts end to end, and how many each has."""
        import numpy as np                               # here, since benchmarks count the memory of who imports this file
        self.ids.len, ends = 0, np.zeros(len(texts) + 1, np.int64)
        for i, text in enumerate(texts):
            data = text.encode()
            self.check(self.lib.lm_encoder_run(self.encoder, ctypes.byref(self.ids), data, len(data), flags,
                                               ctypes.byref(self.err)))
            ends[i + 1] = self.ids.len
        ids = np.ctypeslib.as_array(self.ids.data, (self.ids.len,)).astype(np.int32) if self.ids.len else np.zeros(0, np.int32)
        return ids, np.diff(ends)

    def decode_bytes(self, ids, flags=0):
        self.str.len = 0
        self.check(self.lib.lm_decode(self.tk, ctypes.byref(self.str), (ctypes.c_int32 * len(ids))(*ids), len(ids), flags,
                                      ctypes.byref(self.err)))
        return ctypes.string_at(self.str.data, self.str.len) if self.str.len else b""

    def decode(self, ids, flags=0):
        return self.decode_bytes(ids, flags).decode(errors="replace")

    def save(self, folder):
        self.check(self.lib.lm_tokenizer_save(self.tk, os.fsencode(folder), ctypes.byref(self.err)))

    def __len__(self):
        return self.lib.lm_tokenizer_vocab_size(self.tk)
