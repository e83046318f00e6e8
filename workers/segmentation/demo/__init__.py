"""The demonstration model: two small networks of nnU-Net that know the synthetic abdomen and nothing else.

Reading order: labels, tasks (what each network sees and tells apart), folder (its files, and the proof that they are
unchanged), window, model, specks, inference, network (the port). `workers.training` makes the model.
"""
