"""What real servers are given to work on: files, a link that leads out of them, a repository, and a home."""

import base64
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class World:
    """A directory of a run's own."""

    directory: Path

    @property
    def project(self) -> Path:
        return self.directory / "project"

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def make(self, places: Mapping[str, Path]) -> None:
        """Make everything; `places` says where the servers are installed."""
        self.project.mkdir()
        (self.project / "readme.txt").write_text("read me\n", encoding="utf-8")
        (self.project / ".env").write_text("KEY=not for agents\n", encoding="utf-8")
        (self.project / "pixel.png").write_bytes(PIXEL)
        (self.directory / "outside.txt").write_text("outside\n", encoding="utf-8")
        (self.project / "link.txt").symlink_to(self.directory / "outside.txt")
        self._make_repository()
        shutil.copytree(HERE / "home", self.home)
        filled = {"project": self.project, "repository": self.repository, **places}
        for name in ("tools.yaml", "policy.csv"):
            text = (self.home / name).read_text(encoding="utf-8")
            for key, path in filled.items():
                text = text.replace(f"{{{key}}}", str(path))
            (self.home / name).write_text(text, encoding="utf-8")

    def _make_repository(self) -> None:
        def git(*arguments: str) -> None:
            who = ["-c", "user.name=suite", "-c", "user.email=suite@example.org", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", *who, *arguments], cwd=self.repository, check=True, stdout=subprocess.DEVNULL)

        self.repository.mkdir()
        git("init", "-q", "-b", "main")
        (self.repository / "a.txt").write_text("a\n", encoding="utf-8")
        git("add", "a.txt")
        git("commit", "-q", "-m", "the first one")
