"""Fine-tuning: objectives, the one training loop, DreamBooth and pretraining."""
