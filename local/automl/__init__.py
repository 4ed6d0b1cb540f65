"""Local stand-in for Azure ML's AutoML image multi-label node: a frozen backbone, a trained head, one ONNX file."""
