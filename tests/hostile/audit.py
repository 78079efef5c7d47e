"""Runs commands and prints what the interpreter was told to run or unpickle meanwhile, as JSON.

python audit.py FOLDER COMMANDS     # COMMANDS is a JSON list of lists of arguments
"""

import contextlib
import io
import json
import sys

folder, commands = sys.argv[1], json.loads(sys.argv[2])
seen: list[str] = []
codes: list[int] = []


def told(event: str, args: tuple) -> None:
    if event == "pickle.find_class":
        seen.append(f"{event} {args[0]}.{args[1]}")
    elif event == "exec" and getattr(args[0], "co_filename", "").startswith(folder):
        seen.append(f"{event} {args[0].co_filename}")
    elif event == "compile" and str(args[1] or "").startswith(folder):
        seen.append(f"{event} {args[1]}")
    elif event in ("os.system", "os.posix_spawn"):
        seen.append(event)


from prunus.cli import main  # noqa: E402

sys.addaudithook(told)
said = io.StringIO()
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
    codes += [main(command) for command in commands]
print(json.dumps({"seen": seen, "codes": codes, "said": said.getvalue()}))
