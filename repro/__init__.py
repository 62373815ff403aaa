"""Diagonal Distillation for streaming video generation, reproduced: method, measurement, speed."""
