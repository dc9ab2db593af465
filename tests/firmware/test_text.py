import json

from plug import text
from plug.errors import BadFrame


def written(value, start=0):
    return bytes(text.buffer[start : text.write(value, start)]).decode()


def test_what_is_written_is_what_json_gives():
    for value in (
        {},
        [],
        {"a": [], "b": {}, "c": [1, -5, None, True, False, "", '\n"\\'], "d": (1, [2, {"e": 3}])},
        {"long": '"\\\u00e4\u20ac' * 100},
        {"digits": "0123456789abcdef" * 8, "one more": "0123456789abcdef" * 8 + "x"},
    ):
        assert written(value) == json.dumps(value, separators=(",", ":"))
        assert json.loads(written(value, 9)) == json.loads(json.dumps(value))


def test_a_text_that_does_not_fit_is_refused():
    longest = "x" * (text.SIZE - 3)  # quotes, and a newline that may follow
    assert written(longest) == '"' + longest + '"'
    for value, start in ((longest + "x", 0), (longest, 1)):
        try:
            text.write(value, start)
            raise AssertionError("written")
        except BadFrame:
            pass
