"""What happens between bytes and answers: tensors, images, batching, counting. Knows nothing of Flask."""
