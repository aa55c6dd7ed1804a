"""The sample configuration that ``gearshift init`` writes: every key, with its default and what it means."""

SAMPLE = """\
# Gearshift: a complete configuration with the defaults. All keys are optional.

[backend]
name = "auto"            # "auto", "numpy", "numba", "cupy"; GEARSHIFT_BACKEND and --backend override it

[data]
source = "digits"        # "digits", "fashion-mnist", "python-source", or a path: .npz, .csv, .parquet, .txt, a folder
length = 64              # characters per row (text only)
validation = 0.1         # fraction of the rows for validation
test = 0.2               # fraction of the rows for the test
target = ""              # tables: column to predict; "" is the last one; or several, ["a", "b"]
weight = ""              # tables: column of the sample weights; "" means none
drop = []                # tables: columns to leave out, such as ["id", "date"]
categorical = []         # tables: columns of numbers that are categories, such as ["zip"]; text always is
categories = 20          # tables: the most categories of a column
missing = "error"        # tables: missing values: "error", "mean" (of the training rows), "drop" (the rows)
separator = ""           # .csv: character between cells; "" is found
decimal = ""             # .csv: "." or ","; "" is found
encoding = ""            # .csv: such as "cp1252"; "" is UTF-8 (or UTF-16)
labels = "auto"          # "classes", "values", or "auto": integers and text are classes
folder = ""              # folder of the Fashion-MNIST files; "" searches the usual places
fetch = false            # download Fashion-MNIST from OpenML if it is not found
standardize = true       # standardise features in the first layer
standardize_target = true  # standardise regression targets; predictions keep their units

[model]
hidden = [256]           # widths of the hidden layers
activation = "relu"      # "relu", "tanh", "sigmoid", "gelu", "softplus", "maxout", "silu", "elu",
                         # "leakyrelu", "hardtanh"
pieces = 2               # linear functions per unit (maxout only)
batch_norm = false       # batch normalisation before each activation
dropout = 0.2            # after each hidden layer
init = "auto"            # "glorot", "he", "gaussian", "uniform", "normal(0, 0.02)", …; "auto": he for relu
dtype = "float32"        # "float32", "float64"
layers = []              # a graph instead of `hidden`: docs/algorithms.md, "Graphs"
inputs = {}              # names and widths of the parts of a row, for a graph with several inputs

[autoencoder]            # instead of a classifier or regressor; the hidden layers are those of [model]
kind = "none"            # "undercomplete", "sparse", "denoising", "contractive", "stacked", "variational"
code = 32                # width of the code
weight = 0.0             # weight of the penalty or the divergence; 0 is the kind's default
penalty = "kl"           # "kl" or "l1" (sparse only)
rate = 0.05              # target activity of the units (penalty "kl" only)
noise = "masking"        # "masking" or "gaussian" (denoising only)
amount = 0.3             # probability of masking, or standard deviation of the noise
dropout = 0.0            # after each hidden layer
pretrain = 3             # epochs for each pair of layers (stacked only)

[loss]
name = "auto"            # "auto" (depends on the targets), or a loss of docs/algorithms.md, such as "HingeLoss"
heads = {}               # losses of several outputs, such as {digit = {loss = "CrossEntropyLoss", outputs = 10}}

[optimizer]              # further keys are arguments of the optimizer, such as betas or momentum
name = "Adam"            # an optimizer of docs/algorithms.md, such as "SGD", "Nesterov", "Adagrad"
lr = 0.001               # if the key is missing: the optimizer's default
groups = []              # separate learning rates, such as {names = "0.*", lr = 1e-4, weight_decay = 0.0}

[schedule]
name = "constant"        # "constant", "linear", "step", "cosine", "onecycle", "plateau", "inverse", "power"
warmup = 0               # number of steps in which the learning rate rises from 0
steps = 0                # length of the decay in steps; 0 is the original length of the run (linear, cosine, onecycle)
final = 0.0              # factor of the learning rate at the end (linear, cosine), or at the lowest (plateau);
                         # if the key is missing, onecycle ends at 4e-6, as in PyTorch
gamma = 0.1              # factor after every `steps` steps, which must be set (step), or of a reduction (plateau)
delta = 0.001            # the learning rate is divided by 1 + delta · step (inverse)
power = 1.0              # the learning rate is divided by step^power; above 0.5, at most 1 (power)
hold = 0                 # steps before the decay begins (inverse, power)

[train]
seed = 0                 # seed of the split, the initial weights, shuffling and dropout
epochs = 60              # total, including resumed ones
batch_size = 32
patience = 0             # stop after so many epochs without improvement; 0 never stops
monitor = "validation_loss"  # what patience and the best weights are judged by
min_delta = 0.0          # smaller changes of it are no improvements
metrics = []             # further measures of the validation data: scikit-learn's, such as ["f1_macro"]
order = "shuffled"       # rows: "shuffled" in each epoch, shuffled "once", or drawn with "replacement"
accumulate = 1           # number of parts of a minibatch, to save memory
loss_goal = 0.0          # stop when an epoch's training loss is at most this; 0 never stops
class_weight = "none"    # "balanced", [1.0, 5.0] in the classes' order, or {fraud = 5.0} by name
clip_norm = 0.0          # maximum norm of the gradient; 0 does not clip
clip_value = 0.0         # maximum magnitude of each element of the gradient; 0 does not clip
l1 = 0.0                 # L1 penalty: adds l1 · sign w to the weights' gradient
soft_threshold = 0.0     # L1 penalty by soft-thresholding, which sets weights to exactly 0
ema = 0.0                # decay of the moving average of the weights, such as 0.999; 0 takes none
precision = "auto"       # "auto" (the model's dtype), "float32", "float64"; on a GPU "tf32", "bfloat16", "float16"

[watch]                  # values to add to each epoch's record
gradient_norms = false   # gradient norm of each parameter, to detect vanishing and exploding gradients
curvature = false        # first- and second-order change of the loss in a step
rows = 1000              # number of random training rows for these two
flat_epochs = 0          # detect that the loss does not fall for so many epochs; 0 is off
restart = false          # start again from new weights then

[checkpoint]
every_seconds = 60.0     # seconds between saves, in addition to the end of each epoch
"""
