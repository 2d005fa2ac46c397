# %% [markdown]
# # kinefit in Python
#
# One video to a body, markers and joint angles, and what can be trusted of them. The video is one
# that comes with kinefit; put your own in its place: `kf.run("walk.mp4", height=1.78, mass=75)`.
#
# The cells are the script [first_steps.py](first_steps.py), run by `python -m benchmarks.notebook`.
# Tables need pandas: `pip install pandas`.

# %%
import kinefit as kf
from kinefit.api import demo_video

result = kf.run(demo_video(), height=1.68, mass=70, out="demo_output")
result.verdict

# %% [markdown]
# What limits the use of the numbers, in sentences; `result.findings` also has what was repaired.

# %%
result.warnings

# %% [markdown]
# Joint angles in degrees, a row per frame; `_sd_deg` is one standard deviation, where it is known.

# %%
angles = result.angles.to_dataframe()
angles[["time_s", "knee_r_flex_deg", "knee_r_flex_sd_deg"]].head(4).round(2)

# %%
from matplotlib.figure import Figure

figure = Figure(figsize=(6, 2.5), layout="constrained")
axes = figure.subplots()
for side in "rl":
    axes.plot(angles["time_s"], angles[f"knee_{side}_flex_deg"], label=f"knee {side}, flexion")
axes.set(xlabel="time, s", ylabel="degrees")
axes.legend()
figure

# %% [markdown]
# Markers are in metres, Y up: (frames, markers, 3). The body's motion can be exported with
# `kinefit export motion`.

# %%
result.markers.xyz.shape, result.markers.names[:4]

# %%
result.motion.body, result.motion.translation.shape

# %% [markdown]
# The same result later, without computing anything, and one of its files.

# %%
again = kf.open("demo_output")
again.verdict, again.path("_final.trc").name

# %% [markdown]
# What cannot be used is an error that says what to do.

# %%
try:
    kf.run(demo_video(), height=168)
except kf.KinefitError as error:
    print(error)
