"""`python -m bench finetune`: adapters beside full fine-tuning and training from scratch, on real data."""
