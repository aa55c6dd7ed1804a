"""The sample configuration that ``gearshift init`` writes: every key, with its default and what it means."""

SAMPLE = """\
# Gearshift: a complete configuration. Every key may be left out; these are the defaults.

[backend]
name = "auto"            # "auto", "numpy", "numba", "cupy"; GEARSHIFT_BACKEND and --backend come first

[data]
source = "digits"        # "digits", "fashion-mnist", "python-source", or a path: .npz, .csv, .txt, a folder with x.npy
length = 64              # characters of a row: a text
validation = 0.1         # share of the rows that choose the best weights
test = 0.2               # share of the rows kept for the test
target = ""              # column of a .csv that holds labels or values; "" is the last one; or several, ["a", "b"]
weight = ""              # column of a .csv that holds the rows' weights; "" is none
labels = "auto"          # "classes", "values", or "auto": integers and text are classes
folder = ""              # where the Fashion-MNIST files are; "" looks in the usual places
fetch = false            # fetch Fashion-MNIST from OpenML where it is nowhere
standardize = true       # a first layer that subtracts the mean and divides by the deviation
standardize_target = true  # values to predict are learned in units of their spread; answers keep their own units

[model]
hidden = [256]           # widths of the hidden layers
activation = "relu"      # "relu", "tanh", "sigmoid", "gelu", "softplus", "maxout"
pieces = 2               # linear functions that each unit is the greatest of: maxout
batch_norm = false       # batch normalisation before each activation
dropout = 0.2            # after each hidden layer
init = "auto"            # "glorot", "he", "gaussian", "uniform", or "auto": he for relu
dtype = "float32"        # "float32", "float64"
layers = []              # a graph instead of `hidden`: docs/algorithms.md, "Graphs"
inputs = {}              # names and widths of the parts of a row, where a graph has several inputs

[autoencoder]            # instead of a classifier: the rows are their own targets; hidden layers are [model]'s
kind = "none"            # "undercomplete", "sparse", "denoising", "contractive", "stacked", "variational"
code = 32                # width of the code
weight = 0.0             # of the penalty or the divergence; 0 is the kind's own
penalty = "kl"           # of a sparse code: "kl", "l1"
rate = 0.05              # at which the units of a sparse code are active: kl
noise = "masking"        # of the denoising kind: "masking", "gaussian"
amount = 0.3             # probability of masking, or deviation of the noise
dropout = 0.0            # after each hidden layer
pretrain = 3             # epochs of each pair of layers: stacked

[loss]
name = "auto"            # "auto": by the targets; or a loss of docs/algorithms.md, as "HingeLoss"
heads = {}               # losses of several outputs, as {digit = {loss = "CrossEntropyLoss", outputs = 10}}

[optimizer]              # any argument of the optimizer may follow, as betas or momentum
name = "Adam"            # any of docs/algorithms.md, as "SGD", "Nesterov", "Adagrad"
lr = 0.001               # the optimizer's own default where it is left out
groups = []              # rates of their own, as {names = "0.*", lr = 1e-4, weight_decay = 0.0}

[schedule]
name = "constant"        # "constant", "linear", "step", "cosine", "inverse", "power"
warmup = 0               # steps in which the rate rises from 0
steps = 0                # length of the decay in steps; 0 is the whole run, as it was begun: linear, cosine
final = 0.01             # share of the rate at the end: linear, cosine
gamma = 0.1              # factor of the rate every `steps`, which have no default there: step
delta = 0.001            # the rate is divided by 1 + delta · step: inverse
power = 1.0              # the rate is divided by step^power, above 0.5 and at most 1: power
hold = 0                 # steps before the decay begins: inverse, power

[train]
seed = 0                 # of the split, the weights, the shuffling and the dropout
epochs = 60              # in all, resumed ones included
batch_size = 32
patience = 0             # stop after so many epochs without improvement; 0 never does
monitor = "validation_loss"
order = "shuffled"       # minibatches: "shuffled" each epoch, "once", or drawn with "replacement"
accumulate = 1           # parts in which a minibatch is taken, to save memory
loss_goal = 0.0          # stop once an epoch's training loss is at most this; 0 never does
class_weight = "none"    # "balanced", [1.0, 5.0] in the classes' order, or {fraud = 5.0} by name
clip_norm = 0.0          # shorten the gradient to this norm; 0 leaves it
clip_value = 0.0         # clip each element of the gradient to this size; 0 leaves it
l1 = 0.0                 # adds l1 · sign w to the weights' gradient
soft_threshold = 0.0     # the same penalty by soft-thresholding, which sets weights to 0
precision = "auto"       # "auto" (the model's dtype), "float32", "float64"; on a GPU "tf32", "bfloat16", "float16"

[watch]                  # after each epoch, for its record
gradient_norms = false   # of each parameter: vanishing and exploding gradients
curvature = false        # what a step gains to first order, and loses to curvature
rows = 1000              # rows for training, drawn at random, that these two look at
flat_epochs = 0          # notice a loss that stands still for so many epochs; 0 does not
restart = false          # start again from other weights there

[checkpoint]
every_seconds = 60.0     # besides the end of each epoch
"""
