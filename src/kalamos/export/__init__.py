"""From a training run to one self-describing `.onnx` file, through a parity gate."""
