#!/usr/bin/env python3
"""Programs that people use, on a mounted snapshot and on the folder that was backed up: the same output, in which time?

  clients.py WORK

Needs drumlin, cp, rsync, tar, find, git, convert (ImageMagick), gdk-pixbuf-thumbnailer, ffmpeg, ffprobe and ffmpegthumbnailer on PATH. WORK is
made anew: 40 photographs of 6 megapixels, 10 PNG files, a video of 5 minutes that can be searched and one without an index, and a work tree of 2,000
files in git. Each line is measured on the source, which the system has in its cache, and on a fresh mount with nothing in any cache but what all lines
share: the local copies of the repository's index and folders. Prints: what, seconds on the source, seconds on the mount, whether the output was the same.
"""
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import time

PICTURES = "for f in '{dir}'/IMG_*.jpg '{dir}'/S_*.png; do "
WHAT = {
    "cp -a": "cp -a '{dir}' '{out}/copy'",
    "rsync -a": "rsync -aHAX '{dir}/' '{out}/copy'",
    "tar": "tar -C '{dir}' -cf - . > '{out}/tar'; tar -tvf '{out}/tar' | sort > '{out}/list'; rm '{out}/tar'",
    "find -size": "cd '{dir}'; find . -type f -size +100k -printf '%p %s %T@\\n' | sort > '{out}/list'",
    "git status": "cd '{dir}/work'; git -c safe.directory='*' status --porcelain > '{out}/list'; git -c safe.directory='*' log --stat >> '{out}/list'",
    "convert, 50 pictures": PICTURES + "convert \"$f[256x256]\" -thumbnail 256x256 -strip '{out}'/$(basename $f).ppm; done",
    "gdk-pixbuf, 50 pictures": PICTURES + "gdk-pixbuf-thumbnailer -s 256 \"file://$f\" '{out}'/$(basename $f).png 2>/dev/null || "
                                          "gdk-pixbuf-thumbnailer -s 256 \"$f\" '{out}'/$(basename $f).png; convert '{out}'/$(basename $f).png '{out}'/$(basename $f).ppm; "
                                          "rm '{out}'/$(basename $f).png; done",
    "ffmpegthumbnailer, 2 videos": "for f in '{dir}'/*.m??; do ffmpegthumbnailer -i $f -o '{out}'/t.png -s 256 2>/dev/null; convert '{out}'/t.png '{out}'/$(basename $f).ppm; rm '{out}'/t.png; done",
    "ffprobe, 2 videos": "for f in '{dir}'/*.m??; do ffprobe -v error -show_format -show_streams $f | grep -v filename >> '{out}/list'; done",
    "ffmpeg -ss, 8 places": "for at in 0:10 4:50 2:00 3:33 0:59 1:17 4:01 2:30; do ffmpeg -v error -ss $at -i '{dir}/video.mp4' -frames:v 1 '{out}'/$at.ppm; done",
    "ffmpeg -ss, no index": "for at in 0:10 1:50 1:00; do ffmpeg -v error -ss $at -i '{dir}/film.mkv' -frames:v 1 '{out}'/$at.ppm; done",
}
MAKE = """
mkdir -p '{0}'; cd '{0}'
for i in $(seq 1 40); do convert -size 3000x2000 plasma:fractal -seed $i -quality 90 IMG_$i.jpg; done
for i in $(seq 1 10); do convert -size 1600x1200 plasma:fractal S_$i.png; done
source="-f lavfi -i testsrc2=size=1280x720:rate=30 -c:v libx264 -preset ultrafast"
ffmpeg -loglevel error $source -t 300 -crf 20 video.mp4
ffmpeg -loglevel error $source -t 120 -crf 18 -f matroska - | cat > film.mkv
mkdir work; cd work; git init -q .
for i in $(seq 1 2000); do mkdir -p d$((i % 40)); seq $i > d$((i % 40))/$i; done
git add -A; git -c user.name=a -c user.email=a@b commit -qm one
"""


def sh(script):
    subprocess.run(["bash", "-eu", "-c", script], check=True, env=dict(os.environ, LC_ALL="C"))


def digest(folder):
    """Returns a hash of what a program has made, with the times of files that it copied."""
    digest = hashlib.sha256()
    for path in sorted(glob.glob(folder + "/**", recursive=True, include_hidden=True)):
        digest.update(path[len(folder):].encode())
        if os.path.isfile(path):
            if "/copy/" in path:
                digest.update(str(os.stat(path).st_mtime_ns).encode())
            with open(path, "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()


def run(script, folder, out):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    start = time.monotonic()
    sh(script.format(dir=folder, out=out))
    return time.monotonic() - start, digest(out)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    work = os.path.abspath(sys.argv[1])
    source, mounted = work + "/source", work + "/mounted"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(mounted)
    os.environ.update(DRUMLIN_REPOSITORY=work + "/repo", DRUMLIN_KEY_FILE=work + "/key", DRUMLIN_CACHE_DIR=work + "/cache", DRUMLIN_STATE_DIR=work + "/state")
    sh(MAKE.format(source))
    sh(f"drumlin init -q; drumlin backup -q '{source}'")
    for what, script in WHAT.items():
        first = run(script, source, work + "/out")
        ours = run(script, source, work + "/out")
        assert first[1] == ours[1], f"{what} is not the same twice"
        mount = subprocess.Popen(["drumlin", "mount", mounted], stdout=subprocess.PIPE)
        mount.stdout.readline()
        theirs = run(script, mounted + "/latest" + source, work + "/out")
        subprocess.run(["fusermount3", "-u", mounted], check=True)
        mount.wait()
        print(f"{what:28} {ours[0]:7.2f} {theirs[0]:7.2f}  {'same' if ours[1] == theirs[1] else 'DIFFERS'}", flush=True)


if __name__ == "__main__":
    main()
