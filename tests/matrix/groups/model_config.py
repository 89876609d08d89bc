"""D64-D68: config.json."""

import os

from damage import config, config_text, nested
from files import by_test, damaged

CASES = [
    damaged("D64", "no JSON", config_text(b"{"), "config.json: line 1, column"),
    damaged("D64", "a comma too many", config_text(b'{\n"hidden_size": 1,\n}'), "config.json: line 3"),
    damaged("D64", "a key twice", config_text(b'{"a": 1, "a": 1}'), "config.json: duplicate key 'a'"),
    damaged("D64", "a million levels", config_text(nested("[", "]", 400_000)),
            "config.json: nested deeper than 32 levels"),
    damaged("D64", "200 MB", lambda root: os.truncate(root / "model/config.json", 200_000_000),
            "200000000 bytes, more than the limit of 1048576"),
    damaged("D65", "a width of 0", config(hidden_size=0), "config.json: hidden_size is 0"),
    damaged("D65", "a negative width", config(hidden_size=-1), "hidden_size is -1"),
    damaged("D65", "a width of 2^31", config(hidden_size=1 << 31), "hidden_size is 2147483648"),
    damaged("D65", "a fractional width", config(hidden_size=1.5), "hidden_size is 1.5"),
    damaged("D65", "a width that is a text", config(hidden_size="4096"), 'hidden_size is "4096"'),
    damaged("D65", "a width of null", config(hidden_size=None), "hidden_size is missing"),
    damaged("D66", "a thousand million layers", config(num_hidden_layers=10**9), "num_hidden_layers is 1000000000"),
    damaged("D66", "heads that do not divide the width", config(num_attention_heads=5, num_key_value_heads=5),
            "hidden_size is 32, not a multiple of num_attention_heads"),
    damaged("D66", "more key heads than heads", config(num_key_value_heads=8), "num_key_value_heads is 8, must divide"),
    damaged("D66", "an empty vocabulary", config(vocab_size=0), "vocab_size is 0"),
    damaged("D67", "an unknown architecture", config(architectures=["T5ForConditionalGeneration"], model_type="t5"),
            'model_type is "t5"; supported are llama'),
    damaged("D67", "code that comes with the model", config(auto_map={"AutoModel": "evil.Model"}),
            "auto_map names code that comes with the model; such code is never run"),
    damaged("D68", "infinite rope_theta", config_text(b'{"rope_theta": 1e400}'), "number out of range"),
    damaged("D68", "a negative rope factor", config(rope_scaling={
        "rope_type": "linear",
        "factor": -2
    }), "rope_scaling.factor is -2"),
    damaged("D68", "an absurd rope factor", config(rope_scaling={
        "rope_type": "yarn",
        "factor": 1e30
    }), "rope_scaling.factor is 1e+30"),
    by_test("D64",
            "a byte-order mark",
            "core/json/json_test",
            "StrictJson.ReadsWhatRfc8259Allows",
            note="skipped, as RFC 8259 allows; by a test of the library"),
]
